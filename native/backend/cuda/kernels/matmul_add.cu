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
  struct Before {
    float first = 0, second = 0, more_first = 0, more_second = 0;
  };
  __device__ Before before(const Row& to, const Pair& pair) const {
    Before before;
    if (pair.first >= 0) before.first = to.out[pair.first];
    if (pair.second >= 0) before.second = to.out[pair.second];
    if (more != nullptr && pair.first >= 0) before.more_first = to.more[pair.first];
    if (more != nullptr && pair.second >= 0) before.more_second = to.more[pair.second];
    return before;
  }
  __device__ float put(const Row& to, const Pair& pair, const Before& before, float y, float second) const {
    if (pair.first >= 0) to.out[pair.first] = before.first + y + before.more_first;
    if (pair.second >= 0) to.out[pair.second] = before.second + second + before.more_second;
    return 0;
  }
};

}  // namespace

cudaError_t matmul(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Add& what) {
  return start_multiply(launch, in, rows, w, AddEpilogue{what});
}

}  // namespace mipha::cuda
