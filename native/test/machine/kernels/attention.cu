/// Attention over a cache in FP16 with scores in FP32, head size 80; splits of the cache are joined by a second kernel.
#include <cmath>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/start.cuh"
#include "test/machine/kernels/examples.h"

namespace mipha::machine::kernels {
namespace {

using namespace cuda;

constexpr int kPitch = 88, kAttentionWarps = 4;                           // 176-byte rows: ldmatrix without bank conflicts
constexpr unsigned kKvTile = 16 * kPitch * 2, kQBytes = 16 * kPitch * 2;  // 16 tokens
constexpr unsigned kAttentionShared = kQBytes + kAttentionWarps * 2 * 2 * kKvTile;

/// Block (query group of 16, head, split); the warps share the split's tiles of 16 tokens. Row r may see tokens [0, first + r].
__global__ void __launch_bounds__(kAttentionWarps * 32)
    attention(const __half* q, const __half* keys, const __half* values, int rows, int first, int capacity, float scale, float* partial) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int head = blockIdx.y, heads = gridDim.y, split = blockIdx.z, splits = gridDim.z, row0 = blockIdx.x * 16;
  __half* qs = shared<__half>(0);
  for (int i = threadIdx.x; i < 16 * 10; i += kAttentionWarps * 32) {
    const int r = i / 10, chunk = i % 10;
    uint4 v = {0, 0, 0, 0};
    if (row0 + r < rows) v = reinterpret_cast<const uint4*>(q + (static_cast<long long>(row0 + r) * heads + head) * kHeadSize)[chunk];
    reinterpret_cast<uint4*>(qs)[r * (kPitch / 8) + chunk] = v;
  }
  __syncthreads();
  uint32_t qf[5][4];
#pragma unroll
  for (int s = 0; s < 5; ++s) ldmatrix_x4(qf[s], qs + ((lane % 16) * kPitch + s * 16 + lane / 16 * 8));

  const int last_row = row0 + 16 < rows ? row0 + 15 : rows - 1;
  const int visible = first + last_row + 1, tiles = (visible + 15) / 16;
  const int from = static_cast<int>(static_cast<long long>(tiles) * split / splits),
            to = static_cast<int>(static_cast<long long>(tiles) * (split + 1) / splits);
  const unsigned own = kQBytes + unsigned(warp) * 4 * kKvTile;
  auto fill = [&](int tile, int stage) {
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      const int at = lane + i * 32, r = at / 10, chunk = at % 10, token = tile * 16 + r;
      const bool inside = token < visible;
      const long long src = inside ? (static_cast<long long>(head) * capacity + token) * kHeadSize + chunk * 8 : 0;
      const unsigned dst = own + unsigned(stage) * 2 * kKvTile + unsigned(r * kPitch + chunk * 8) * 2;
      cp_async16(shared<char>(dst), keys + src, inside ? 16 : 0);
      cp_async16(shared<char>(dst + kKvTile), values + src, inside ? 16 : 0);
    }
  };

  float o[10][4], top[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};
#pragma unroll
  for (int d = 0; d < 10; ++d)
#pragma unroll
    for (int e = 0; e < 4; ++e) o[d][e] = 0;

  if (from + warp < to) fill(from + warp, 0);
  cp_async_commit();
  int stage = 0;
  for (int tile = from + warp; tile < to; tile += kAttentionWarps, stage ^= 1) {
    if (tile + kAttentionWarps < to) fill(tile + kAttentionWarps, stage ^ 1);
    cp_async_commit();
    cp_async_wait<1>();
    __syncwarp();
    const __half *ks = shared<const __half>(own + unsigned(stage) * 2 * kKvTile),
                 *vs = shared<const __half>(own + unsigned(stage) * 2 * kKvTile + kKvTile);
    float s[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll
    for (int step = 0; step < 5; ++step) {
      uint32_t d[4];
      ldmatrix_x4(d, ks + ((lane / 16 * 8 + lane % 8) * kPitch + step * 16 + lane / 8 % 2 * 8));
      const uint32_t b0[2] = {d[0], d[1]}, b1[2] = {d[2], d[3]};
      mma_f16(s[0], qf[step], b0);
      mma_f16(s[1], qf[step], b1);
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int limit = first + row0 + g + half * 8;  // last token this row sees
      float m = top[half];
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& v = s[n][half * 2 + e];
          v = tile * 16 + n * 8 + 2 * t + e <= limit ? v * scale : -INFINITY;
          m = fmaxf(m, v);
        }
      m = fmaxf(m, __shfl_xor_sync(0xFFFFFFFFu, m, 1));
      m = fmaxf(m, __shfl_xor_sync(0xFFFFFFFFu, m, 2));
      const float base = m == -INFINITY ? 0 : m, keep = expf(top[half] - base);
      top[half] = m;
      sum[half] *= keep;
#pragma unroll
      for (int d = 0; d < 10; ++d) o[d][half * 2] *= keep, o[d][half * 2 + 1] *= keep;
#pragma unroll
      for (int n = 0; n < 2; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          float& v = s[n][half * 2 + e];
          v = expf(v - base);
          sum[half] += v;
        }
    }
    const uint32_t p[4] = {pack_half2(s[0][0], s[0][1]), pack_half2(s[0][2], s[0][3]), pack_half2(s[1][0], s[1][1]), pack_half2(s[1][2], s[1][3])};
#pragma unroll
    for (int d = 0; d < 5; ++d) {
      uint32_t v[4];
      ldmatrix_x4_trans(v, vs + ((lane / 8 % 2 * 8 + lane % 8) * kPitch + d * 16 + lane / 16 * 8));
      const uint32_t b0[2] = {v[0], v[1]}, b1[2] = {v[2], v[3]};
      mma_f16(o[2 * d], p, b0);
      mma_f16(o[2 * d + 1], p, b1);
    }
    __syncwarp();  // all lanes have read this stage before it is filled again
  }
  cp_async_wait<0>();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    sum[half] += __shfl_xor_sync(0xFFFFFFFFu, sum[half], 1);
    sum[half] += __shfl_xor_sync(0xFFFFFFFFu, sum[half], 2);
  }

  __syncthreads();  // the tiles become the warps' results: [warp][row][kPartial]
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float* mine = shared<float>(unsigned(warp * 16 + g + half * 8) * kPartial * 4);
#pragma unroll
    for (int d = 0; d < 10; ++d) mine[d * 8 + 2 * t] = o[d][half * 2], mine[d * 8 + 2 * t + 1] = o[d][half * 2 + 1];
    if (t == 0) mine[kHeadSize] = top[half], mine[kHeadSize + 1] = sum[half];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 16 * kHeadSize; i += kAttentionWarps * 32) {
    const int r = i / kHeadSize, d = i % kHeadSize;
    if (row0 + r >= rows) continue;
    float m = -INFINITY, v = 0, l = 0;
    for (int j = 0; j < kAttentionWarps; ++j) m = fmaxf(m, shared<const float>(unsigned(j * 16 + r) * kPartial * 4)[kHeadSize]);
    for (int j = 0; j < kAttentionWarps; ++j) {
      const float* one = shared<const float>(unsigned(j * 16 + r) * kPartial * 4);
      const float f = m == -INFINITY ? 0 : expf(one[kHeadSize] - m);
      v = fmaf(one[d], f, v), l = fmaf(one[kHeadSize + 1], f, l);
    }
    float* to_row = partial + ((static_cast<long long>(split) * rows + row0 + r) * heads + head) * kPartial;
    to_row[d] = v;
    if (d == 0) to_row[kHeadSize] = m, to_row[kHeadSize + 1] = l;
  }
}

/// Block (row, head), 80 threads: joins the splits.
__global__ void __launch_bounds__(kHeadSize) attention_merge(const float* partial, int splits, float* out) {
  const int rows = gridDim.x, heads = gridDim.y, d = threadIdx.x;
  const long long row = static_cast<long long>(blockIdx.x) * heads + blockIdx.y, step = static_cast<long long>(rows) * heads * kPartial;
  float m = -INFINITY, v = 0, l = 0;
  for (int s = 0; s < splits; ++s) m = fmaxf(m, (partial + (s * step + row * kPartial))[kHeadSize]);
  for (int s = 0; s < splits; ++s) {
    const float* one = partial + (s * step + row * kPartial);
    const float f = expf(one[kHeadSize] - m);
    v = fmaf(one[d], f, v), l = fmaf(one[kHeadSize + 1], f, l);
  }
  out[row * kHeadSize + d] = v / l;
}

}  // namespace

cudaError_t attend(const __half* q, const __half* keys, const __half* values, int rows, int heads, int first, int capacity, int splits,
                   float* partial, float* out, cudaStream_t stream) {
  const dim3 grid((rows + 15) / 16, heads, splits);
  const float scale = 0.1118034f;  // 1 / sqrt(80)
  const cudaError_t error =
      start(attention, grid, kAttentionWarps * 32, kAttentionShared, stream, q, keys, values, rows, first, capacity, scale, partial);
  return error != cudaSuccess ? error : start(attention_merge, dim3(rows, heads), kHeadSize, 0, stream, partial, splits, out);
}

}  // namespace mipha::machine::kernels
