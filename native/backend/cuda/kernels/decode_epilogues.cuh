/// What becomes of the pair of results y0, y1 that a lane holds: places 16 * tile + place and 8 further, of one row.
#pragma once

#include "backend/cuda/kernels/decode_product.cuh"

namespace mipha::cuda {

__device__ __forceinline__ float activated(Activation activation, float x) {
  switch (activation) {
    case Activation::kGeluTanh:
      return 0.5f * x * (1 + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
    case Activation::kGeluErf:
      return 0.5f * x * (1 + erff(x * 0.707106781f));
    case Activation::kQuickGelu:
      return x / (1 + expf(-1.702f * x));
    default:
      return x / (1 + expf(-x));
  }
}

class StoreOutput {
 public:
  StoreOutput(const Matrix& of, const Store& to) : out_(of.out), to_(to) {}
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) const {
    const int n = tile * kTileRows + place;
    float* const to = to_.out + row * to_.stride + n;
    if (n < out_) to[0] = y0;
    if (n + 8 < out_) to[8] = y1;
  }
  __device__ __forceinline__ void finish(int, int) const {}

 private:
  int out_;
  Store to_;
};

class AddOutput {
 public:
  AddOutput(const Matrix& of, const Add& to) : out_(of.out), to_(to) {}
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) const {
    const int n = tile * kTileRows + place;
    const int64_t at = row * to_.stride + n;
    if (n < out_) add(at, y0);
    if (n + 8 < out_) add(at + 8, y1);
  }
  __device__ __forceinline__ void finish(int, int) const {}

 private:
  __device__ __forceinline__ void add(int64_t at, float y) const {
    const float sum = __fadd_rn(to_.out[at], y);
    to_.out[at] = to_.more != nullptr ? __fadd_rn(sum, to_.more[at]) : sum;
  }
  int out_;
  Add to_;
};

class ActivateOutput {
 public:
  ActivateOutput() = default;
  ActivateOutput(const Matrix& of, const Activate& to) : out_(of.out), gated_(of.order.gated), to_(to) {}
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) {
    if (gated_ > 0) {
      const int n = tile * 8 + place;
      if (n < gated_) keep(row, n, activated(to_.activation, y0) * y1);
    } else {
      const int n = tile * kTileRows + place;
      if (n < out_) keep(row, n, activated(to_.activation, y0));
      if (n + 8 < out_) keep(row, n + 8, activated(to_.activation, y1));
    }
  }
  /// All threads of the block; `row` is the only one that this thread took anything of.
  __device__ __forceinline__ void finish(int rows, int row) const {
    if (to_.peak == nullptr) return;
    uint32_t largest = largest_;
#pragma unroll
    for (int other = 4; other > 0; other /= 2) {  // the eight lanes of a row
      const uint32_t theirs = __shfl_xor_sync(0xFFFFFFFFu, largest, other);
      largest = largest > theirs ? largest : theirs;
    }
    uint32_t* const peaks = shared<uint32_t>(kPeaksAt);
    if (threadIdx.x % 8 == 0) peaks[threadIdx.x / 64 * kMostSequences + row] = largest;
    __syncthreads();
    if (threadIdx.x >= rows) return;
    largest = 0;
#pragma unroll
    for (int pair = 0; pair < kDecodeWarps / 2; ++pair) {
      const uint32_t theirs = peaks[pair * kMostSequences + threadIdx.x];
      largest = largest > theirs ? largest : theirs;
    }
    if (largest > 0) atomicMax(to_.peak + threadIdx.x, largest);
  }

 private:
  __device__ __forceinline__ void keep(int row, int n, float value) {
    if (to_.smooth != nullptr) value *= to_.smooth[n];
    to_.out[row * to_.stride + n] = value;
    const uint32_t bits = __float_as_uint(fabsf(value));
    if (value == value && bits > largest_) largest_ = bits;
  }
  int out_ = 0, gated_ = 0;
  Activate to_;
  uint32_t largest_ = 0;  // |value| that is a number
};

class HeadsOutput {
 public:
  HeadsOutput(const Matrix& of, const Heads& to) : out_(of.out), rotated_(of.order.rotary > 0 ? of.order.rotated_rows : 0), to_(to) {}
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) const {
    const Place at = to_.places[row];
    const int32_t block = to_.tables.blocks[static_cast<int64_t>(at.table) * to_.tables.stride + at.position / kBlockRows];
    __half* const cache = to_.cache.base + block * to_.cache.block_stride + at.position % kBlockRows * to_.head_size;
    const int first = tile * kTileRows, head = first / to_.head_size, within = first % to_.head_size;
    if (first < rotated_ && within < to_.rotary) {
      const int i = within / 2 + place, half = to_.rotary / 2;
      const float c = to_.cosine[static_cast<int64_t>(at.position) * half + i], s = to_.sine[static_cast<int64_t>(at.position) * half + i];
      put(row, cache, head, i, y0 * c - y1 * s);
      put(row, cache, head, i + half, y1 * c + y0 * s);
    } else {
      if (first + place < out_) put(row, cache, (first + place) / to_.head_size, (first + place) % to_.head_size, y0);
      if (first + place + 8 < out_) put(row, cache, (first + place + 8) / to_.head_size, (first + place + 8) % to_.head_size, y1);
    }
  }
  __device__ __forceinline__ void finish(int, int) const {}

 private:
  __device__ __forceinline__ void put(int row, __half* cache, int head, int at, float value) const {
    if (head < to_.heads) {
      to_.q[(static_cast<int64_t>(row) * to_.heads + head) * to_.head_size + at] = value;
    } else {
      cache[static_cast<int64_t>(head - to_.heads) * kBlockRows * to_.head_size + at] = __float2half_rn(value);  // all of k, then all of v
    }
  }
  int out_, rotated_;
  Heads to_;
};

__device__ __forceinline__ void constants_of(const Weights& weights, int tile, int place, float (&scale)[2], float (&bias)[2]) {
  const int n = tile * kTileRows + place;
  if (weights.scale != nullptr) scale[0] = weights.scale[n], scale[1] = weights.scale[n + 8];
  bias[0] = weights.bias[n], bias[1] = weights.bias[n + 8];
}

/// One matrix and what becomes of its results.
template <class Output>
struct OneMatrix {
  Weights weights;
  Output output;

  __device__ __forceinline__ int tiles() const { return weights.count; }
  __device__ __forceinline__ const uint4* tile(int tile, int steps) const { return weights.tiles + static_cast<int64_t>(tile) * steps * 32; }
  __device__ __forceinline__ void constants(int tile, int place, float (&scale)[2], float (&bias)[2]) const {
    constants_of(weights, tile, place, scale, bias);
  }
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) { output.take(tile, place, row, y0, y1); }
  __device__ __forceinline__ void finish(int rows, int row) const { output.finish(rows, row); }
};

/// Two matrices of the same rows; their tiles are one list.
template <class A, class B>
struct TwoMatrices {
  OneMatrix<A> a;
  OneMatrix<B> b;  // without tiles: there is only one

  __device__ __forceinline__ int tiles() const { return a.tiles() + b.tiles(); }
  __device__ __forceinline__ const uint4* tile(int tile, int steps) const {
    const uint4 *const of_a = a.tile(tile, steps), *const of_b = b.tile(tile - a.tiles(), steps);
    return tile < a.tiles() ? of_a : of_b;
  }
  __device__ __forceinline__ void constants(int tile, int place, float (&scale)[2], float (&bias)[2]) const {
    const Weights of_a = a.weights, of_b = b.weights;
    const bool first = tile < of_a.count;
    const Weights weights{nullptr, first ? +of_a.scale : +of_b.scale, first ? +of_a.bias : +of_b.bias, 0};
    constants_of(weights, first ? tile : tile - of_a.count, place, scale, bias);
  }
  __device__ __forceinline__ void take(int tile, int place, int row, float y0, float y1) {
    if (tile < a.tiles()) {
      a.take(tile, place, row, y0, y1);
    } else {
      b.take(tile - a.tiles(), place, row, y0, y1);
    }
  }
  __device__ __forceinline__ void finish(int rows, int row) const {
    a.finish(rows, row);
    b.finish(rows, row);
  }
};

}  // namespace mipha::cuda
