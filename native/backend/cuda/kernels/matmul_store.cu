// Products that are stored as they are.
#include "backend/cuda/kernels/matmul.cuh"

namespace mipha::cuda {
namespace {

struct StoreEpilogue : Store {
  static constexpr bool kPeaks = false;
  struct Pair {
    int first = -1, second = -1;  // columns
  };
  __device__ Pair pair(const Matrix& w, int place) const { return {w.order.row(place, w.out), w.order.row(place + 8, w.out)}; }
  using Row = float*;
  using Before = Nothing;
  __device__ Row row(int row) const { return out + row * stride; }
  __device__ Before before(Row, const Pair&) const { return {}; }
  __device__ float put(Row to, const Pair& pair, Before, float y, float second) const {
    if (pair.first >= 0) to[pair.first] = y;
    if (pair.second >= 0) to[pair.second] = second;
    return 0;
  }
};

}  // namespace

cudaError_t matmul(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Store& what) {
  return start_multiply(launch, in, rows, w, StoreEpilogue{what});
}

}  // namespace mipha::cuda
