// A GPU whose memory is the host's. FAKE_CUDA_DEVICES, FAKE_CUDA_TOTAL (bytes) and FAKE_CUDA_BROKEN (any value) change it.
#include <cuda_runtime_api.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <mutex>

namespace {

std::mutex mutex;
std::map<void*, size_t> blocks;
cudaError_t last = cudaSuccess;

size_t number(const char* variable, size_t usual) {
  const char* const value = getenv(variable);
  return value == nullptr ? usual : strtoull(value, nullptr, 10);
}

size_t used() {
  size_t all = 0;
  for (const auto& [address, bytes] : blocks) all += bytes;
  return all;
}

cudaError_t broken() {
  return getenv("FAKE_CUDA_BROKEN") == nullptr ? cudaSuccess : last = cudaErrorIllegalAddress;
}

}  // namespace

extern "C" {

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrIntegrated ? 1 : attribute == cudaDevAttrComputeCapabilityMajor ? 8 : 7;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  return *version = CUDART_VERSION + 20, cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  return *version = CUDART_VERSION, cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = static_cast<int>(number("FAKE_CUDA_DEVICES", 1));
  return *count == 0 ? last = cudaErrorNoDevice : cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  strcpy(properties->name, "Orin");
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    default:
      return "an illegal memory access was encountered";
  }
}

cudaError_t cudaGetLastError() {
  const cudaError_t before = last;
  last = cudaSuccess;
  return before;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(mutex);
  *total = number("FAKE_CUDA_TOTAL", size_t{1} << 30);
  *free = *total - used();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  const std::lock_guard lock(mutex);
  if (used() + bytes > number("FAKE_CUDA_TOTAL", size_t{1} << 30)) return last = cudaErrorMemoryAllocation;
  *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(*memory, 0xAB, bytes);  // fresh memory holds anything
  blocks[*memory] = bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  const std::lock_guard lock(mutex);
  blocks.erase(memory);
  free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  memcpy(to, from, bytes);
  return broken();
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  memset(memory, value, bytes);
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  *stream = static_cast<cudaStream_t>(malloc(1));  // so that a leak shows
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  free(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return broken();
}
}
