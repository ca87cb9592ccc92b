// The first product of an MLP, activated and gated.
#include "backend/cuda/kernels/activations.cuh"
#include "backend/cuda/kernels/matmul.cuh"

namespace mipha::cuda {
namespace {

template <class F>
struct ActivateEpilogue {
  static constexpr bool kPeaks = true;
  F activation;
  Activate to;

  struct Pair {
    int first = -1, second = -1;  // columns; −1: padding, or what only gates the first
    bool gated = false;
    float smooth_first = 1, smooth_second = 1;
  };
  __device__ Pair pair(const Matrix& w, int place) const {
    Pair pair;
    pair.gated = w.order.gated > 0;
    pair.first = w.order.row(place, w.out);
    if (!pair.gated) pair.second = w.order.row(place + 8, w.out);
    if (to.smooth != nullptr && pair.first >= 0) pair.smooth_first = to.smooth[pair.first];
    if (to.smooth != nullptr && pair.second >= 0) pair.smooth_second = to.smooth[pair.second];
    return pair;
  }
  using Row = float*;
  using Before = Nothing;
  __device__ Row row(int row) const { return to.out + row * to.stride; }
  __device__ Before before(Row, const Pair&) const { return {}; }
  __device__ float put(Row out, const Pair& pair, Before, float y, float second) const {
    float largest = 0;
    if (pair.first >= 0) {
      float value = activation(y);
      if (pair.gated) value *= second;
      out[pair.first] = value *= pair.smooth_first;
      largest = fabsf(value);
    }
    if (pair.second >= 0) {
      const float value = activation(second) * pair.smooth_second;
      out[pair.second] = value;
      largest = fmaxf(largest, fabsf(value));  // a number, where one is NaN
    }
    return largest;
  }
  __device__ bool peaks() const { return to.peak != nullptr; }
  __device__ void peak(int row, float largest) const { atomicMax(to.peak + row, __float_as_uint(largest)); }
};

}  // namespace

cudaError_t matmul(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Activate& what) {
  if (what.activation == Activation::kGeluErf) return start_multiply(launch, in, rows, w, ActivateEpilogue<ErfGelu>{{}, what});
  return start_multiply(launch, in, rows, w, ActivateEpilogue<Sigmoid>{Sigmoid::of(what.activation), what});
}

}  // namespace mipha::cuda
