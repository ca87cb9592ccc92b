#include "test/machine/kernels/attention.cuh"
#include "test/machine/kernels/gemm_s8.cuh"
#include "test/machine/kernels/gemv_s8.cuh"

namespace mipha::machine::kernels {
namespace {

template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A... arguments) {
  if (shared > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<P>(arguments)...);
}

template <int kTokens>
cudaError_t gemv_of(const Linear& w, const int8_t* x, const float* x_scale, float* out, cudaStream_t stream) {
  return launch(gemv_s8<kTokens, 8>, w.rows / 16, 256, gemv_shared<8>(kTokens, w.k), stream, w, x, x_scale, out);
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

cudaError_t gemm(const Linear& w, const int8_t* x, const float* x_scale, int tokens, float inverse_step, int8_t* out8, float* out,
                 cudaStream_t stream) {
  const dim3 grid((w.rows + kGemmRows - 1) / kGemmRows, (tokens + kGemmTokens - 1) / kGemmTokens);
  return launch(out8 != nullptr ? gemm_s8<true> : gemm_s8<false>, grid, 256, kGemmShared, stream, w, x, x_scale, tokens, inverse_step, out8, out);
}

cudaError_t attend(const __half* q, const __half* keys, const __half* values, int rows, int heads, int first, int capacity, int splits,
                   float* partial, float* out, cudaStream_t stream) {
  const dim3 grid((rows + 15) / 16, heads, splits);
  const float scale = 0.1118034f;  // 1 / sqrt(80)
  const cudaError_t error =
      launch(attention, grid, kAttentionWarps * 32, kAttentionShared, stream, q, keys, values, rows, first, capacity, scale, partial);
  return error != cudaSuccess ? error : launch(attention_merge, dim3(rows, heads), kHeadSize, 0, stream, partial, splits, out);
}

}  // namespace mipha::machine::kernels
