// qkv: q and k are rotated, k and v go into the cache.
#include "backend/cuda/kernels/matmul.cuh"

namespace mipha::cuda {
namespace {

struct HeadsEpilogue : Heads {
  static constexpr bool kPeaks = false;
  struct Pair {
    int first = kNowhere, second = kNowhere;  // of q: the column; of k and v: kCached + offset within a block, at its first row
    int angle = -1;                           // of the rotation; −1: none
  };
  static constexpr int kNowhere = -1, kCached = 1 << 30;
  struct Row {
    float* q;
    __half* cached;  // first row's place in the block, moved to this row
    const float *cosine, *sine;
  };

  __device__ Pair pair(const Matrix& w, int place) const {
    Pair pair;
    const int first = w.order.row(place, w.out);
    pair.first = target(first), pair.second = target(w.order.row(place + 8, w.out));
    if (place < w.order.rotated_rows && place % head_size < rotary) pair.angle = first % head_size;
    return pair;
  }
  __device__ int target(int row) const {
    const int queries = heads * head_size;
    if (row < queries) return row;
    const int head = (row - queries) / head_size, within = (row - queries) % head_size;  // of k, then of v
    return kCached + head * kBlockRows * head_size + within;
  }
  __device__ Row row(int row) const {
    const Place place = places[row];
    const int32_t block = tables.blocks[int64_t{place.table} * tables.stride + place.position / kBlockRows];
    const int64_t angles = int64_t{place.position} * (rotary / 2);
    return {q + int64_t{row} * heads * head_size, cache.base + block * cache.block_stride + place.position % kBlockRows * head_size, cosine + angles,
            sine + angles};
  }
  struct Before {
    float cosine = 1, sine = 0;
  };
  __device__ Before before(const Row& to, const Pair& pair) const {
    return pair.angle < 0 ? Before() : Before{to.cosine[pair.angle], to.sine[pair.angle]};
  }
  __device__ float put(const Row& to, const Pair& pair, const Before& before, float y, float second) const {
    float a = y, b = second;
    if (pair.angle >= 0) {
      const float c = before.cosine, s = before.sine;
      a = __fsub_rn(__fmul_rn(y, c), __fmul_rn(second, s));  // rounded as on the CPU
      b = __fadd_rn(__fmul_rn(second, c), __fmul_rn(y, s));
    }
    store(to, pair.first, a);
    store(to, pair.second, b);
    return 0;
  }
  static __device__ void store(const Row& to, int target, float value) {
    if (target >= kCached) {
      to.cached[target - kCached] = __float2half_rn(value);
    } else if (target >= 0) {
      to.q[target] = value;
    }
  }
};

}  // namespace

cudaError_t matmul(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Heads& what) {
  if (what.rotary != w.order.rotary || what.cache.head_size != what.head_size || what.cache.kv_heads != what.kv_heads) return cudaErrorInvalidValue;
  return start_multiply(launch, in, rows, w, HeadsEpilogue{what});
}

}  // namespace mipha::cuda
