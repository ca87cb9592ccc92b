/// Entry points for memory: allocation, copies, fills.
#include <cstring>

#include "test/machine/machine.h"
#include "test/machine/memory.h"
#include "test/machine/streams.h"

using namespace mipha::machine;

namespace {

cudaError_t give(void** memory, size_t bytes, Region::Kind kind) {
  const Entry held;
  *memory = nullptr;
  if (is_capturing()) return result(cudaErrorStreamCaptureUnsupported);
  if (sticky() != cudaSuccess) return result(sticky());
  if (bytes == 0) return cudaSuccess;
  *memory = allocate(bytes, kind);
  return result(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t take_back(void* memory, Region::Kind kind) {
  const Entry held;
  if (memory == nullptr) return cudaSuccess;
  if (is_capturing()) return result(cudaErrorStreamCaptureUnsupported);
  wait_for_all();  // cudaFree waits for what may use it
  return result(release(memory, kind) ? sticky() : cudaErrorInvalidValue);
}

/// The sides that a direction lets be memory of the host.
bool may_be_host(cudaMemcpyKind kind, bool destination) {
  return kind == cudaMemcpyHostToHost || kind == (destination ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice) || kind == cudaMemcpyDefault;
}
bool must_be_host(cudaMemcpyKind kind, bool destination) {
  return kind == cudaMemcpyHostToHost || kind == (destination ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice);
}
bool fits(const void* memory, size_t bytes, cudaMemcpyKind kind, bool destination) {
  if (!contains(memory, bytes, may_be_host(kind, destination))) return false;
  const Region* region = find(memory);
  return !must_be_host(kind, destination) || region == nullptr || region->kind != Region::kDevice;
}

}  // namespace

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return give(memory, bytes, Region::kDevice);
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  return give(memory, bytes, Region::kHost);
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return give(memory, bytes, Region::kHost);
}
cudaError_t cudaFree(void* memory) {
  return take_back(memory, Region::kDevice);
}
cudaError_t cudaFreeHost(void* memory) {
  return take_back(memory, Region::kHost);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const Entry held;
  *total = options().memory_bytes;
  *free = *total - bytes_in_use();
  return result(sticky());
}

/// Later than a device: also pageable memory is read and written when somebody waits.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const Entry held;
  if (!fits(to, bytes, kind, true) || !fits(from, bytes, kind, false)) return result(cudaErrorInvalidValue);
  return result(enqueue(stream, "copy", [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);  // of nothing, both may be null
    mark_initialised(to, bytes);
  }));
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  const Entry held;
  if (is_capturing()) return result(cudaErrorStreamCaptureImplicit);
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, nullptr);
  return error != cudaSuccess ? error : cudaStreamSynchronize(nullptr);
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  const Entry held;
  if (!contains(memory, bytes, false)) return result(cudaErrorInvalidValue);
  return result(enqueue(stream, "fill", [=] {
    std::memset(memory, value, bytes);
    mark_initialised(memory, bytes);
  }));
}
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return cudaMemsetAsync(memory, value, bytes, nullptr);
}
