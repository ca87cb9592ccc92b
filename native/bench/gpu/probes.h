// Kernels of the benchmark itself: they fill memory and find the limits of a device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace mipha::cuda::bench {

/// Anything in -127..127.
cudaError_t fill_bytes(int8_t* to, size_t count, cudaStream_t stream);
/// Anything in -limit..limit.
cudaError_t fill_floats(float* to, size_t count, float limit, cudaStream_t stream);
cudaError_t fill_halves(void* to, size_t count, cudaStream_t stream);

/// Reads `bytes`, a multiple of 16384, once.
cudaError_t read_all(const void* from, size_t bytes, uint32_t* sink, cudaStream_t stream);
cudaError_t nothing(uint32_t* sink, cudaStream_t stream);

/// Products of the tensor cores from registers alone, on `blocks` blocks; what they have of multiplications and additions per column of depth: 32
/// with INT8, 16 with FP16.
double peak_operations(int blocks, int rounds);
cudaError_t peak_s8(int blocks, int rounds, int* sink, cudaStream_t stream);
cudaError_t peak_f16(int blocks, int rounds, float* sink, cudaStream_t stream);

}  // namespace mipha::cuda::bench
