/// Prefill: a matrix of INT8 weights times many vectors. One block per 128 rows and 64 vectors, 64 columns a stage.
#include <cmath>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/start.cuh"
#include "test/machine/kernels/examples.h"

namespace mipha::machine::kernels {
namespace {

using namespace cuda;

__device__ inline float gelu(float x) {
  return 0.5f * x * (1.0f + tanhf(0.79788456f * fmaf(0.044715f * x * x, x, x)));
}

constexpr int kGemmRows = 128, kGemmTokens = 64, kGemmStages = 4;
constexpr unsigned kGemmW = kGemmRows / 16 * 2 * kTileBytes, kGemmX = kGemmTokens * 64, kGemmShared = kGemmStages * (kGemmW + kGemmX);

/// Eight warps: four along the rows (two tiles each), two along the tokens (four groups of 8 each). kQuantize: out8 = round(gelu(·) / step), else
/// FP32.
template <bool kQuantize>
__global__ void __launch_bounds__(256)
    gemm_s8(Linear w, const int8_t* x, const float* x_scale, int tokens, float inverse_step, int8_t* out8, float* out) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int wr = warp % 4, wt = warp / 4;
  const int row0 = blockIdx.x * kGemmRows, token0 = blockIdx.y * kGemmTokens;
  const int tiles = w.k / 32, steps = (tiles + 1) / 2;
  const char* weights = reinterpret_cast<const char*>(w.weights);

  auto fill = [&](int step) {  // every thread copies 2 × 16 bytes of weights and 16 of activations; outside: zeros
    const unsigned stage = unsigned(step % kGemmStages) * (kGemmW + kGemmX);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int at = threadIdx.x + i * 256, row_tile = at / 64, k_tile = step * 2 + at / 32 % 2;
      const bool inside = row0 / 16 + row_tile < w.rows / 16 && k_tile < tiles;
      const long long from = inside ? ((static_cast<long long>(row0 / 16) + row_tile) * tiles + k_tile) * kTileBytes + lane * 16 : 0;
      cp_async16(shared<char>(stage + unsigned(at) * 16), weights + from, inside ? 16 : 0);
    }
    const int token = threadIdx.x / 4, chunk = threadIdx.x % 4, column = step * 64 + chunk * 16;
    const bool inside = token0 + token < tokens && column < w.k;
    const long long from = inside ? static_cast<long long>(token0 + token) * w.k + column : 0;
    cp_async16(shared<char>(stage + kGemmW + unsigned(token * 64 + (chunk ^ (token >> 1 & 3)) * 16)), x + from, inside ? 16 : 0);
  };

  int c[2][4][4];
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int j = 0; j < 4; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) c[i][j][e] = 0;

#pragma unroll
  for (int s = 0; s < kGemmStages - 1; ++s) {
    if (s < steps) fill(s);
    cp_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kGemmStages - 2>();
    __syncthreads();  // the stage has arrived for all, and nobody reads the one that is filled next
    if (step + kGemmStages - 1 < steps) fill(step + kGemmStages - 1);
    cp_async_commit();
    const unsigned stage = unsigned(step % kGemmStages) * (kGemmW + kGemmX);
#pragma unroll
    for (int kk = 0; kk < 2; ++kk) {
      uint32_t a[2][4], b[4][2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 v = shared<const uint4>(stage)[((wr * 2 + i) * 2 + kk) * 32 + lane];
        a[i][0] = v.x, a[i][1] = v.y, a[i][2] = v.z, a[i][3] = v.w;
      }
#pragma unroll
      for (int j = 0; j < 2; ++j) {  // 16 tokens: matrices are (token half, column half)
        const int token = wt * 32 + j * 16 + lane / 16 * 8 + lane % 8, chunk = kk * 2 + lane / 8 % 2;
        uint32_t d[4];
        ldmatrix_x4(d, shared<char>(stage + kGemmW + unsigned(token * 64 + (chunk ^ (token >> 1 & 3)) * 16)));
        b[2 * j][0] = d[0], b[2 * j][1] = d[1], b[2 * j + 1][0] = d[2], b[2 * j + 1][1] = d[3];
      }
#pragma unroll
      for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) mma_s8(c[i][j], a[i], b[j]);
    }
  }
  cp_async_wait<0>();
  if (kQuantize) __syncthreads();  // the stages become the output tile

#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = wr * 32 + i * 16 + half * 8 + g, row = row0 + r;
      const bool in_rows = row < w.rows;
      const float scale = in_rows ? w.weight_scale[row] : 0, bias = in_rows ? w.bias[row] : 0;
#pragma unroll
      for (int j = 0; j < 4; ++j)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int local = wt * 32 + j * 8 + 2 * t + e, token = token0 + local;
          const float v = token < tokens ? fmaf(static_cast<float>(c[i][j][half * 2 + e]), scale * x_scale[token], bias) : 0;
          if (kQuantize) {
            const float q = fminf(fmaxf(rintf(gelu(v) * inverse_step), -127.0f), 127.0f);
            shared<int8_t>(unsigned(local * (kGemmRows + 16) + r))[0] = static_cast<int8_t>(q);
          } else if (in_rows && token < tokens) {
            out[static_cast<long long>(token) * w.rows + row] = v;
          }
        }
    }
  if (!kQuantize) return;
  __syncthreads();
  for (int i = threadIdx.x; i < kGemmTokens * kGemmRows / 16; i += 256) {
    const int local = i / (kGemmRows / 16), chunk = i % (kGemmRows / 16), row = row0 + chunk * 16;
    if (token0 + local < tokens && row < w.rows) {
      const uint4 v = shared<const uint4>(unsigned(local * (kGemmRows + 16) + chunk * 16))[0];
      reinterpret_cast<uint4*>(out8 + (static_cast<long long>(token0 + local) * w.rows + row))[0] = v;
    }
  }
}

}  // namespace

cudaError_t gemm(const Linear& w, const int8_t* x, const float* x_scale, int tokens, float inverse_step, int8_t* out8, float* out,
                 cudaStream_t stream) {
  const dim3 grid((w.rows + kGemmRows - 1) / kGemmRows, (tokens + kGemmTokens - 1) / kGemmTokens);
  return start(out8 != nullptr ? gemm_s8<true> : gemm_s8<false>, grid, 256, kGemmShared, stream, w, x, x_scale, tokens, inverse_step, out8, out);
}

}  // namespace mipha::machine::kernels
