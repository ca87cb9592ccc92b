#include <cuda_fp16.h>

#include "backend/cuda/kernels/device.cuh"
#include "bench/gpu/probes.h"

namespace mipha::cuda::bench {
namespace {

constexpr int kThreads = 256, kAhead = 4, kChains = 8;  // chains: products of one warp that do not wait for each other

__device__ __forceinline__ uint32_t hash(uint64_t i) {
  uint32_t v = static_cast<uint32_t>(i ^ i >> 32) * 2654435761u;
  v ^= v >> 15;
  return v * 2246822519u ^ v >> 13;
}
__device__ __forceinline__ float uniform(uint64_t i) {
  return static_cast<float>(static_cast<int>(hash(i) >> 8) - (1 << 23)) * (1.0f / (1 << 23));
}

__global__ void __launch_bounds__(kThreads) fill_bytes_kernel(int8_t* to, size_t count) {
  const size_t i = size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) to[i] = static_cast<int8_t>(static_cast<int>(hash(i) % 255) - 127);
}
__global__ void __launch_bounds__(kThreads) fill_floats_kernel(float* to, size_t count, float limit) {
  const size_t i = size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) to[i] = uniform(i) * limit;
}
__global__ void __launch_bounds__(kThreads) fill_halves_kernel(__half* to, size_t count) {
  const size_t i = size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) to[i] = __float2half_rn(uniform(i));
}

/// Every block reads kThreads * kAhead words of 16 bytes.
__global__ void __launch_bounds__(kThreads) read_kernel(const uint4* from, uint32_t* sink) {
  const uint4* at = from + size_t{blockIdx.x} * (kThreads * kAhead) + threadIdx.x;
  uint4 v[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) v[i] = load_once(at + i * kThreads);
  uint32_t sum = 0;
#pragma unroll
  for (int i = 0; i < kAhead; ++i) sum += v[i].x ^ v[i].y ^ v[i].z ^ v[i].w;
  if (sum == 0x12345678u) sink[0] = sum;
}
__global__ void nothing_kernel(uint32_t* sink) {
  if (threadIdx.x == 77) sink[0] = 1;
}

__global__ void __launch_bounds__(kThreads) peak_s8_kernel(int rounds, int* sink) {
  const uint32_t a[4] = {threadIdx.x, threadIdx.x + 1, threadIdx.x + 2, threadIdx.x + 3}, b[2] = {threadIdx.x + 4, threadIdx.x + 5};
  int c[kChains][4];
#pragma unroll
  for (int i = 0; i < kChains; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) c[i][e] = i;
  for (int round = 0; round < rounds; ++round)
#pragma unroll
    for (int i = 0; i < kChains; ++i) mma_s8(c[i], a, b);
  int sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += c[i][0] ^ c[i][1] ^ c[i][2] ^ c[i][3];
  if (sum == 0x12345678) sink[0] = sum;
}
__global__ void __launch_bounds__(kThreads) peak_f16_kernel(int rounds, float* sink) {
  const uint32_t one = pack_half2(1.0f, static_cast<float>(threadIdx.x)), a[4] = {one, one, one, one}, b[2] = {one, one};
  float c[kChains][4];
#pragma unroll
  for (int i = 0; i < kChains; ++i)
#pragma unroll
    for (int e = 0; e < 4; ++e) c[i][e] = static_cast<float>(i);
  for (int round = 0; round < rounds; ++round)
#pragma unroll
    for (int i = 0; i < kChains; ++i) mma_f16(c[i], a, b);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  if (sum == -1.0f) sink[0] = sum;
}

unsigned blocks_of(size_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}

}  // namespace

cudaError_t fill_bytes(int8_t* to, size_t count, cudaStream_t stream) {
  fill_bytes_kernel<<<blocks_of(count), kThreads, 0, stream>>>(to, count);
  return cudaGetLastError();
}
cudaError_t fill_floats(float* to, size_t count, float limit, cudaStream_t stream) {
  fill_floats_kernel<<<blocks_of(count), kThreads, 0, stream>>>(to, count, limit);
  return cudaGetLastError();
}
cudaError_t fill_halves(void* to, size_t count, cudaStream_t stream) {
  fill_halves_kernel<<<blocks_of(count), kThreads, 0, stream>>>(static_cast<__half*>(to), count);
  return cudaGetLastError();
}

cudaError_t read_all(const void* from, size_t bytes, uint32_t* sink, cudaStream_t stream) {
  read_kernel<<<static_cast<unsigned>(bytes / (16 * kThreads * kAhead)), kThreads, 0, stream>>>(static_cast<const uint4*>(from), sink);
  return cudaGetLastError();
}
cudaError_t nothing(uint32_t* sink, cudaStream_t stream) {
  nothing_kernel<<<1, 32, 0, stream>>>(sink);
  return cudaGetLastError();
}

double peak_operations(int blocks, int rounds) {
  return 2.0 * 16 * 8 * kChains * (kThreads / 32) * blocks * rounds;  // times the depth of a product
}
cudaError_t peak_s8(int blocks, int rounds, int* sink, cudaStream_t stream) {
  peak_s8_kernel<<<blocks, kThreads, 0, stream>>>(rounds, sink);
  return cudaGetLastError();
}
cudaError_t peak_f16(int blocks, int rounds, float* sink, cudaStream_t stream) {
  peak_f16_kernel<<<blocks, kThreads, 0, stream>>>(rounds, sink);
  return cudaGetLastError();
}

}  // namespace mipha::cuda::bench
