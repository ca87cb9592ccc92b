// Products that are added to the residual stream.
#include "backend/cuda/kernels/matmul.cuh"

namespace mipha::cuda {
namespace {

struct AddEpilogue : Add {
  static constexpr bool kPeaks = false;
  struct Pair {
    int first = -1, second = -1;  // columns
  };
  struct Row {
    float* out;
    const float* more;
  };
  __device__ Pair pair(const Matrix& w, int place) const { return {w.order.row(place, w.out), w.order.row(place + 8, w.out)}; }
  __device__ Row row(int row) const { return {out + row * stride, more == nullptr ? nullptr : more + row * stride}; }
  __device__ float put(const Row& to, const Pair& pair, float y, float second) const {
    add(to, pair.first, y);
    add(to, pair.second, second);
    return 0;
  }
  static __device__ void add(const Row& to, int column, float y) {
    if (column < 0) return;
    const float sum = to.out[column] + y;
    to.out[column] = to.more == nullptr ? sum : sum + to.more[column];
  }
};

}  // namespace

cudaError_t matmul(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Add& what) {
  return start_multiply(launch, in, rows, w, AddEpilogue{what});
}

}  // namespace mipha::cuda
