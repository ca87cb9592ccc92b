/// Kernels as a backend has them, small: what the machine has to run. Launches for the host, and a check of each.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace mipha::machine::kernels {

/// Weights lie as [rows / 16][k / 32][lane][16 bytes], each tile in the order of the A operand of mma m16n8k32: lane (g = lane / 4, t = lane % 4) has
/// rows g, g + 8 at columns 4t and rows g, g + 8 at columns 16 + 4t, four each.
struct Linear {
  const uint4* weights;
  const float *weight_scale, *bias;  // [rows]
  int rows, k;                       // multiples of 16 and 32
};
constexpr int kTileBytes = 512;
constexpr int kHeadSize = 80;
constexpr unsigned kPartial = kHeadSize + 2;  // floats of one row's result from one split: sum, maximum, denominator

/// x: int8 [tokens][k], scales [tokens]; out: [tokens][rows]. tokens: 1, 2, 3, 5 or 8.
cudaError_t gemv(int tokens, const Linear& w, const int8_t* x, const float* x_scale, float* out, cudaStream_t stream);
/// Any number of tokens. Where out8 is not null it receives round(gelu(·) * inverse_step) instead of `out`.
cudaError_t gemm(const Linear& w, const int8_t* x, const float* x_scale, int tokens, float inverse_step, int8_t* out8, float* out,
                 cudaStream_t stream);
/// q: [rows][heads][80], keys and values: [heads][capacity][80]; row r sees tokens [0, first + r]. partial: [splits][rows][heads][kPartial].
cudaError_t attend(const __half* q, const __half* keys, const __half* values, int rows, int heads, int first, int capacity, int splits,
                   float* partial, float* out, cudaStream_t stream);

struct Example {
  std::string name;
  std::function<std::string(cudaStream_t)> check;  // what is wrong, empty when nothing is
};
std::vector<Example> examples();

}  // namespace mipha::machine::kernels
