/// decode_heads, decode_up, decode_logits, decode_add.
#include "backend/cuda/kernels/decode_launch.cuh"

namespace mipha::cuda {
namespace {

template <Format kFormat, class Input, class Output>
__global__ void __launch_bounds__(kDecodeThreads, kResident) product(const int32_t* live, Input in, Output out, int depth) {
  decode_product<kFormat>(live, in, out, depth, blockIdx.x, gridDim.x);
}

/// outputs(first) makes the Output for the rows from `first` on.
template <class Input, class Outputs>
cudaError_t multiply(const Launch& launch, const Input& in, const Matrix& matrix, int tiles, Outputs outputs) {
  return for_rows(matrix, in.count, [&](int first, int count, int limit) {
    const unsigned bytes = product_shared(matrix, count), blocks = product_blocks(launch, tiles, limit, bytes, kResident);
    const auto out = outputs(first);
    return with_format(matrix.format, [&](auto format) {
      return start(product<decltype(format)::value, Input, std::decay_t<decltype(out)>>, blocks, kDecodeThreads, bytes, launch.stream, launch.live,
                   from_row(in, first, count), out, matrix.depth);
    });
  });
}

template <class Output, class Input, class To>
cudaError_t multiply_one(const Launch& launch, const Input& in, const Matrix& matrix, const To& to) {
  return multiply(launch, in, matrix, matrix.places / kTileRows, [&](int first) {
    return OneMatrix<Output>{weights_of(matrix), Output(matrix, from_row(to, first))};
  });
}

}  // namespace

cudaError_t decode_heads(const Launch& launch, const Normed& in, const Matrix& qkv, const Heads& heads, const Matrix* up, const Activate* inner) {
  const int tiles = (qkv.places + (up != nullptr ? up->places : 0)) / kTileRows;
  return multiply(launch, in, qkv, tiles, [&](int first) {
    TwoMatrices<HeadsOutput, ActivateOutput> out{{weights_of(qkv), HeadsOutput(qkv, from_row(heads, first))}, {}};
    if (up != nullptr) out.b = {weights_of(*up), ActivateOutput(*up, from_row(*inner, first))};
    return out;
  });
}
cudaError_t decode_up(const Launch& launch, const Normed& in, const Matrix& up, const Activate& to) {
  return multiply_one<ActivateOutput>(launch, in, up, to);
}
cudaError_t decode_logits(const Launch& launch, const Normed& in, const Matrix& head, const Store& to) {
  return multiply_one<StoreOutput>(launch, in, head, to);
}
cudaError_t decode_add(const Launch& launch, const Rows& in, const Matrix& matrix, const Add& to) {
  return multiply_one<AddOutput>(launch, in, matrix, to);
}

}  // namespace mipha::cuda
