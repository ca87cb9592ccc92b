// Attention of many rows: prefill and the vision tower. Scores, softmax and sums in FP32; keys, values, queries and weights enter the tensor cores in
// FP16. A block has up to 64 rows of one head, a warp 16 of them; keys and values pass by in the cache's own blocks of 32 rows, from position 0 on,
// so that what a row is added up from does not depend on the rows beside it.
#include <cmath>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr int kWarps = kQueryRows / 16, kThreads = kWarps * 32, kKeyGroups = kBlockRows / 8;

template <int kHeadSize>
struct Shape {
  static constexpr int kSteps = (kHeadSize + 15) / 16;              // of the depth of q · k: 72 is padded with zeros
  static constexpr int kWidth = kHeadSize > 128 ? 128 : kHeadSize;  // columns of the values that a block has: 256 would not fit its registers
  static constexpr int kKeyPitch = kSteps * 16 + 8;                 // halves of a row in shared memory: an odd number of 16 bytes, so that
  static constexpr int kValuePitch = (kWidth + 15) / 16 * 16 + 8;   // the rows of a matrix lie in different banks
  static constexpr unsigned kKeyBytes = kBlockRows * kKeyPitch * 2, kStage = kKeyBytes + kBlockRows * kValuePitch * 2;
  static constexpr int kBlocksTogether = kHeadSize <= 80 ? 3 : 2;  // on a multiprocessor, by registers; one more would spill
};

struct Arguments {
  const float* q;
  const __half* cache;
  int64_t block_stride, value_offset;  // halves; from a block's keys of a head to its values
  Tables tables;
  const QueryTile* tiles;
  int heads, sharing, visible;  // heads that share keys
  float scale;                  // log2(e) / sqrt(head_size): the softmax runs on powers of two
  float* out;
};

/// Copies 32 rows of keys and values from `block` on, zeros in the place of rows from the `count`th on. A thread has every fourth 16 bytes of a row.
template <int kHeadSize>
__device__ __forceinline__ void fetch(const Arguments& in, int block, int offset, int count, unsigned stage) {
  using S = Shape<kHeadSize>;
  const int row = threadIdx.x / 4, lane = threadIdx.x % 4;
  const unsigned bytes = row < count ? 16 : 0, to = stage * S::kStage + lane * 16;
  const __half* keys = in.cache + block * in.block_stride + offset;
  const __half* values = keys + in.value_offset + (kHeadSize > S::kWidth ? blockIdx.z * S::kWidth : 0);
#pragma unroll
  for (int i = 0; i < (2 * S::kSteps + 3) / 4; ++i) {
    const int chunk = i * 4 + lane;
    const bool padding = chunk >= kHeadSize / 8;  // of the depth of q · k
    if (chunk < 2 * S::kSteps) cp_async16(shared<char>(to + row * S::kKeyPitch * 2 + i * 64), padding ? keys : keys + i * 32, padding ? 0 : bytes);
    if (chunk < S::kWidth / 8) cp_async16(shared<char>(to + S::kKeyBytes + row * S::kValuePitch * 2 + i * 64), values + i * 32, bytes);
  }
}

/// Where the head of a tile's first row begins in q and in out.
template <int kHeadSize>
__device__ __forceinline__ int64_t place(const Arguments& in, const QueryTile& tile) {
  return (static_cast<int64_t>(tile.row) * in.heads + blockIdx.y) * kHeadSize;
}

/// An operand of two rows of q from `rows` on: zeros where there is no row or no column.
template <int kHeadSize>
__device__ __forceinline__ void load_queries(uint32_t (&q)[4], const float* rows, int stride, int count, int row, int column, float scale) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = row + i % 2 * 8, c = column + i / 2 * 8;
    float2 pair = {0, 0};
    if (c < kHeadSize && r < count) pair = *reinterpret_cast<const float2*>(rows + static_cast<int64_t>(r) * stride + c);
    q[i] = pack_half2(pair.x * scale, pair.y * scale);
  }
}

/// Block (query tile, head). The last tiles see most and begin first.
template <int kHeadSize>
__global__ void __launch_bounds__(kThreads, Shape<kHeadSize>::kBlocksTogether) attention(Arguments in) {
  using S = Shape<kHeadSize>;
  constexpr int kColumns = S::kWidth / 8;
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4, row = threadIdx.x / 32 * 16;  // the warp's first row within the tile
  const QueryTile tile = in.tiles[gridDim.x - 1 - blockIdx.x];
  const int seen = in.visible > 0 ? in.visible : tile.position + tile.rows;
  // The last positions that the warp's first row sees, that row g sees, by how much more row g + 8 does, and the last row; a warp without rows: none.
  const int first_limit = in.visible > 0 ? seen - 1 : tile.position + row;
  const int limit = first_limit + (in.visible > 0 ? 0 : g), later = in.visible > 0 ? 0 : 8;
  const int warp_limit = row >= tile.rows ? -1 : in.visible > 0 ? seen - 1 : min(first_limit + 15, seen - 1);
  const int32_t* block = in.tables.blocks + static_cast<int64_t>(tile.table) * in.tables.stride;
  const int offset = (blockIdx.y / in.sharing * kBlockRows + threadIdx.x / 4) * kHeadSize + threadIdx.x % 4 * 8;

  fetch<kHeadSize>(in, *block, offset, seen, 0);
  cp_async_commit();
  int next = seen > kBlockRows ? block[1] : 0;

  uint32_t q[S::kSteps][4];
#pragma unroll
  for (int s = 0; s < S::kSteps; ++s) {
    load_queries<kHeadSize>(q[s], in.q + place<kHeadSize>(in, tile), in.heads * kHeadSize, tile.rows, row + g, s * 16 + 2 * t, in.scale);
  }
  float o[kColumns][4], top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
#pragma unroll
    for (int e = 0; e < 4; ++e) o[n][e] = 0;
  }

#pragma unroll 1
  for (int first = 0, stage = 0; first < seen; first += kBlockRows, stage ^= 1) {
    cp_async_wait<0>();
    __syncthreads();
    if (first + kBlockRows < seen) {
      fetch<kHeadSize>(in, next, offset, seen - first - kBlockRows, stage ^ 1);
      ++block;
      if (first + 2 * kBlockRows < seen) next = block[1];
    }
    cp_async_commit();
    if (first > warp_limit) continue;

    const __half* keys = shared<const __half>(stage * S::kStage) + (lane / 16 * 8 + lane % 8) * S::kKeyPitch + lane / 8 % 2 * 8;
    const __half* values = shared<const __half>(stage * S::kStage + S::kKeyBytes) + lane * S::kValuePitch;
    float score[kKeyGroups][4];
#pragma unroll
    for (int n = 0; n < kKeyGroups; ++n) score[n][0] = score[n][1] = score[n][2] = score[n][3] = 0;
#pragma unroll
    for (int s = 0; s < S::kSteps; ++s) {
#pragma unroll
      for (int n = 0; n < kKeyGroups; n += 2) {
        uint32_t d[4];
        ldmatrix_x4(d, keys + n * 8 * S::kKeyPitch + s * 16);
        mma_f16(score[n], q[s], {d[0], d[1]});
        mma_f16(score[n + 1], q[s], {d[2], d[3]});
      }
    }

    if (first + kBlockRows - 1 > first_limit) {
#pragma unroll
      for (int n = 0; n < kKeyGroups; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          if (first + n * 8 + 2 * t + e % 2 > limit + e / 2 * later) score[n][e] = -INFINITY;
        }
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = top[half];
#pragma unroll
      for (int n = 0; n < kKeyGroups; ++n) most = fmaxf(most, fmaxf(score[n][half * 2], score[n][half * 2 + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xFFFFFFFFu, most, 2));  // finite: every row sees position 0
      const float keep = power_of_two(top[half] - most);
      top[half] = most;
      sum[half] *= keep;
#pragma unroll
      for (int n = 0; n < kColumns; ++n) o[n][half * 2] *= keep, o[n][half * 2 + 1] *= keep;
#pragma unroll
      for (int n = 0; n < kKeyGroups; ++n) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& weight = score[n][half * 2 + e];
          weight = power_of_two(weight - most);
          sum[half] += weight;
        }
      }
    }
    uint32_t weights[2][4];  // of keys 0-15 and 16-31
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int e = 0; e < 4; ++e) weights[i][e] = pack_half2(score[2 * i + e / 2][e % 2 * 2], score[2 * i + e / 2][e % 2 * 2 + 1]);
    }
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      uint32_t v[4];
      ldmatrix_x4_trans(v, values + n * 8);
      mma_f16(o[n], weights[0], {v[0], v[1]});
      mma_f16(o[n], weights[1], {v[2], v[3]});
    }
  }

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    sum[half] += __shfl_xor_sync(0xFFFFFFFFu, sum[half], 1);
    sum[half] += __shfl_xor_sync(0xFFFFFFFFu, sum[half], 2);
    const int r = row + g + half * 8;
    if (r >= tile.rows) continue;
    const float share = __fdividef(1, sum[half]);
    float* to = in.out + place<kHeadSize>(in, tile) + static_cast<int64_t>(r) * in.heads * kHeadSize + 2 * t;
    if (kHeadSize > S::kWidth) to += blockIdx.z * S::kWidth;
#pragma unroll
    for (int n = 0; n < kColumns; ++n) *reinterpret_cast<float2*>(to + n * 8) = {o[n][half * 2] * share, o[n][half * 2 + 1] * share};
  }
}

template <int kHeadSize>
cudaError_t start_attention(const Launch& launch, const Arguments& in, int tile_count) {
  using S = Shape<kHeadSize>;
  return start(attention<kHeadSize>, dim3(tile_count, in.heads, kHeadSize / S::kWidth), dim3(kThreads), 2 * S::kStage, launch.stream, in);
}

}  // namespace

cudaError_t attend(const Launch& launch, const float* q, int heads, const CacheLayer& cache, const Tables& tables, const QueryTile* tiles,
                   int tile_count, int visible, float* out) {
  const float scale = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(cache.head_size)));
  const int64_t value_offset = int64_t{cache.kv_heads} * kBlockRows * cache.head_size;
  const Arguments in{q, cache.base, cache.block_stride, value_offset, tables, tiles, heads, heads / cache.kv_heads, visible, scale, out};
  switch (cache.head_size) {
    case 64:
      return start_attention<64>(launch, in, tile_count);
    case 72:
      return start_attention<72>(launch, in, tile_count);
    case 80:
      return start_attention<80>(launch, in, tile_count);
    case 128:
      return start_attention<128>(launch, in, tile_count);
    case 256:
      return start_attention<256>(launch, in, tile_count);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace mipha::cuda
