/// Decode: a matrix of INT8 weights times 1 to 8 vectors. One block per 16 rows; its warps share the columns.
#include <cmath>

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/start.cuh"
#include "test/machine/kernels/examples.h"

namespace mipha::machine::kernels {
namespace {

using namespace cuda;

template <int kWarps>
constexpr unsigned gemv_shared(int tokens, int columns) {
  return unsigned(tokens * columns + kWarps * 16 * 8 * 4);
}

template <int kTokens, int kWarps>
__global__ void __launch_bounds__(kWarps * 32) gemv_s8(Linear w, const int8_t* x, const float* x_scale, float* out) {
  constexpr int kAhead = 4;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int tiles = w.k / 32, mine = (tiles - warp + kWarps - 1) / kWarps;  // this warp's: warp, warp + kWarps, ...
  const uint4* tile = w.weights + ((static_cast<long long>(blockIdx.x) * tiles + warp) * 32 + lane);
  uint4 a[kAhead];  // on their way before the activations are looked at
#pragma unroll
  for (int i = 0; i < kAhead; ++i)
    if (i < mine) a[i] = load_once(tile + i * kWarps * 32);
  tile += kAhead * kWarps * 32;

  // Activations, each group of 32 in the order of the B operand: words 0 4 1 5 2 6 3 7, so that a lane reads its two in one go.
  uint32_t* xs = shared<uint32_t>(0);
  const uint32_t* xw = reinterpret_cast<const uint32_t*>(x);
  for (int i = threadIdx.x; i < kTokens * w.k / 4; i += kWarps * 32) xs[(i & ~7) + (i % 4) * 2 + (i & 4) / 4] = xw[i];
  __syncthreads();

  int c[4] = {0, 0, 0, 0};
  const uint2* b_at =
      reinterpret_cast<const uint2*>(xs) + ((g % kTokens * tiles + warp) * 4 + t);  // columns beyond the tokens: anything, nobody reads their sums
  auto step = [&](int i) {
    const uint32_t av[4] = {a[i].x, a[i].y, a[i].z, a[i].w};
    const uint2 b = b_at[i * kWarps * 4];
    const uint32_t bv[2] = {b.x, b.y};
    mma_s8(c, av, bv);
  };
  int done = 0;
  for (; done + 2 * kAhead <= mine; done += kAhead, tile += kAhead * kWarps * 32, b_at += kAhead * kWarps * 4) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      step(i);
      a[i] = load_once(tile + i * kWarps * 32);
    }
  }
  for (; done < mine; done += kAhead, tile += kAhead * kWarps * 32, b_at += kAhead * kWarps * 4) {  // the last one or two groups, guarded
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (done + i < mine) step(i);
      if (done + kAhead + i < mine) a[i] = load_once(tile + i * kWarps * 32);
    }
  }

  int* sums = shared<int>(kTokens * w.k);  // [warp][row][token]
  sums[(warp * 16 + g) * 8 + 2 * t] = c[0];
  sums[(warp * 16 + g) * 8 + 2 * t + 1] = c[1];
  sums[(warp * 16 + g + 8) * 8 + 2 * t] = c[2];
  sums[(warp * 16 + g + 8) * 8 + 2 * t + 1] = c[3];
  __syncthreads();
  for (int i = threadIdx.x; i < 16 * kTokens; i += kWarps * 32) {
    const int row = i % 16, token = i / 16, at = blockIdx.x * 16 + row;
    int sum = 0;
    for (int j = 0; j < kWarps; ++j) sum += sums[(j * 16 + row) * 8 + token];
    out[static_cast<long long>(token) * w.rows + at] = fmaf(static_cast<float>(sum), w.weight_scale[at] * x_scale[token], w.bias[at]);
  }
}

template <int kTokens>
cudaError_t gemv_of(const Linear& w, const int8_t* x, const float* x_scale, float* out, cudaStream_t stream) {
  return start(gemv_s8<kTokens, 8>, w.rows / 16, 256, gemv_shared<8>(kTokens, w.k), stream, w, x, x_scale, out);
}

}  // namespace

cudaError_t gemv(int tokens, const Linear& w, const int8_t* x, const float* x_scale, float* out, cudaStream_t stream) {
  switch (tokens) {
    case 1:
      return gemv_of<1>(w, x, x_scale, out, stream);
    case 2:
      return gemv_of<2>(w, x, x_scale, out, stream);
    case 3:
      return gemv_of<3>(w, x, x_scale, out, stream);
    case 5:
      return gemv_of<5>(w, x, x_scale, out, stream);
    case 8:
      return gemv_of<8>(w, x, x_scale, out, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace mipha::machine::kernels
