/// decode_splits, decode_attend, decode_attend_and_down.
#include "backend/cuda/kernels/decode_attention.cuh"
#include "backend/cuda/kernels/decode_launch.cuh"

namespace mipha::cuda {
namespace {

constexpr int kAttentionResident = 2;

template <int kLanes, int kHeads>
__global__ void __launch_bounds__(kDecodeThreads, kAttentionResident) attend(const int32_t* live, DecodeAttention in) {
  AttentionBlock(in, blockIdx.x).run<kLanes, kHeads>(live);
}

/// The first blocks attend, the others multiply: neither waits for the other.
template <int kLanes, int kHeads>
__global__ void __launch_bounds__(kDecodeThreads, kAttentionResident)
    attend_and_product(const int32_t* live, DecodeAttention attention, int attending, Rows in, OneMatrix<StoreOutput> out, int depth) {
  const int block = blockIdx.x;
  if (block < attending) {
    AttentionBlock(attention, block).run<kLanes, kHeads>(live);
  } else {
    decode_product<Format::kS8>(live, in, out, depth, block - attending, gridDim.x - attending);
  }
}

template <Format kFormat>
__global__ void __launch_bounds__(kDecodeThreads, kResident) product(const int32_t* live, Rows in, OneMatrix<StoreOutput> out, int depth) {
  decode_product<kFormat>(live, in, out, depth, blockIdx.x, gridDim.x);
}

template <int kLanes, int kHeads>
struct Shape {
  static constexpr int lanes = kLanes, heads = kHeads;
};
template <int kLanes, class F>
cudaError_t with_heads(int group, F f) {
  return group == 1 ? f(Shape<kLanes, heads_together(1)>()) : f(Shape<kLanes, heads_together(2)>());
}
/// f of the kernel's shape as a type.
template <class F>
cudaError_t with_shape(const DecodeAttention& in, F f) {
  const int group = in.heads / in.cache.kv_heads, lanes = lanes_of(in.cache.head_size);
  if (lanes == 8) return with_heads<8>(group, f);
  return lanes == 16 ? with_heads<16>(group, f) : with_heads<32>(group, f);
}

unsigned shared_of(const DecodeAttention& in) {
  return attention_shared(in.cache.head_size, heads_together(in.heads / in.cache.kv_heads), in.tables.stride, in.splits);
}
unsigned blocks_of(const DecodeAttention& in) {
  return static_cast<unsigned>(in.count) * in.cache.kv_heads * in.splits;
}

}  // namespace

int decode_splits(int kv_heads, int context, int processors) {
  const int wanted = (kAttentionResident * processors + kv_heads - 1) / kv_heads, blocks = (context + kBlockRows - 1) / kBlockRows;
  return std::clamp(wanted, 1, std::max(1, blocks / 2));
}

cudaError_t decode_attend(const Launch& launch, const DecodeAttention& in) {
  return with_shape(in, [&](auto shape) {
    using S = decltype(shape);
    return start(attend<S::lanes, S::heads>, blocks_of(in), kDecodeThreads, shared_of(in), launch.stream, launch.live, in);
  });
}

cudaError_t decode_attend_and_down(const Launch& launch, const DecodeAttention& in, const Rows& inner, const Matrix& down, const Store& to) {
  const int tiles = down.places / kTileRows;
  const bool beside = down.format == Format::kS8;  // what stays wide is multiplied afterwards: rare, and not worth three kernels of each shape
  const cudaError_t error = beside ? cudaSuccess : decode_attend(launch, in);
  if (error != cudaSuccess) return error;
  return for_rows(down, inner.count, [&](int first, int count, int limit) {
    const OneMatrix<StoreOutput> out{weights_of(down), StoreOutput(down, from_row(to, first))};
    const Rows rows = from_row(inner, first, count);
    const unsigned of_rows = product_shared(down, count);
    if (beside && first == 0) {
      return with_shape(in, [&](auto shape) {
        using S = decltype(shape);
        const unsigned attending = blocks_of(in), bytes = std::max(of_rows, shared_of(in));
        return start(attend_and_product<S::lanes, S::heads>, attending + product_blocks(launch, tiles, limit, bytes, kAttentionResident),
                     kDecodeThreads, bytes, launch.stream, launch.live, in, static_cast<int>(attending), rows, out, down.depth);
      });
    }
    return with_format(down.format, [&](auto format) {
      return start(product<decltype(format)::value>, product_blocks(launch, tiles, limit, of_rows, kResident), kDecodeThreads, of_rows, launch.stream,
                   launch.live, rows, out, down.depth);
    });
  });
}

}  // namespace mipha::cuda
