// The table of functions: the device and its memory here, plans in shim_build.cc, engines in shim_engine.cc.
#include "backend/tensorrt/shim.h"

#include <algorithm>
#include <cstdio>

using mipha::trt::guarded;

mipha_trt::mipha_trt() {
  const auto& cuda = libraries.cuda();
  int devices = 0;
  cuda.check(cuda.cudaGetDeviceCount(&devices), "no GPU can be used", MIPHA_TRT_UNAVAILABLE);
  if (devices == 0) throw mipha::trt::Failure(MIPHA_TRT_UNAVAILABLE, "no GPU found");
  cuda.check(cuda.cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "the GPU cannot be opened", MIPHA_TRT_UNAVAILABLE);
}

mipha_trt::~mipha_trt() {
  libraries.cuda().cudaStreamDestroy(stream);
}

void mipha_trt::wait() const {
  libraries.cuda().check(libraries.cuda().cudaStreamSynchronize(stream), "the GPU failed");
}

namespace mipha::trt {
namespace {

constexpr int kGpu = 0;  // the first one; Jetsons have no other

mipha_trt_status open(mipha_trt** out, char* error, size_t error_bytes) noexcept {
  std::string words;
  const mipha_trt_status status = guarded(words, [&] { *out = new mipha_trt; });
  if (error_bytes > 0) std::snprintf(error, error_bytes, "%s", words.c_str());
  return status;
}

void close(mipha_trt* trt) noexcept {
  delete trt;
}

const char* error(const mipha_trt* trt) noexcept {
  return trt->error.c_str();
}

template <size_t Bytes>
void copy_words(char (&to)[Bytes], const std::string& from) {
  std::snprintf(to, Bytes, "%s", from.c_str());
}

mipha_trt_status facts(mipha_trt* trt, mipha_trt_facts* out) noexcept {
  return guarded(trt->error, [&] {
    const Cuda& cuda = trt->libraries.cuda();
    *out = {};
    copy_words(out->tensorrt, trt->libraries.tensorrt().words());
    copy_words(out->headers, header_version().words());

    cudaDeviceProp properties{};
    cuda.check(cuda.cudaGetDeviceProperties(&properties, kGpu), "cannot read the properties of the GPU");
    copy_words(out->gpu, properties.name);
    const auto attribute = [&](cudaDeviceAttr which) {
      int value = 0;
      cuda.check(cuda.cudaDeviceGetAttribute(&value, which, kGpu), "cannot read an attribute of the GPU");
      return value;
    };
    out->compute_capability = attribute(cudaDevAttrComputeCapabilityMajor) * 10 + attribute(cudaDevAttrComputeCapabilityMinor);
    out->integrated = attribute(cudaDevAttrIntegrated) != 0 ? 1 : 0;

    cuda.check(cuda.cudaRuntimeGetVersion(&out->cuda_runtime), "cannot read the version of the CUDA runtime");
    cuda.check(cuda.cudaDriverGetVersion(&out->cuda_driver), "cannot read the version of the CUDA driver");
    size_t free = 0, total = 0;
    cuda.check(cuda.cudaMemGetInfo(&free, &total), "cannot read the memory of the GPU");
    out->free_bytes = static_cast<int64_t>(free);
    out->total_bytes = static_cast<int64_t>(total);
  });
}

mipha_trt_status allocate(mipha_trt* trt, size_t bytes, void** device) noexcept {
  return guarded(trt->error, [&] {
    const Cuda& cuda = trt->libraries.cuda();
    void* memory = nullptr;
    const size_t wanted = std::max<size_t>(bytes, 1);  // so that there is an address
    const cudaError_t code = cuda.cudaMalloc(&memory, wanted);
    if (code != cudaSuccess) {
      size_t free = 0, total = 0;
      cuda.cudaMemGetInfo(&free, &total);
      cuda.check(code, "cannot allocate " + std::to_string(bytes) + " bytes on the GPU, " + std::to_string(free) + " of " + std::to_string(total) +
                           " are free");
    }
    const cudaError_t zeroed = cuda.cudaMemsetAsync(memory, 0, wanted, trt->stream);
    if (zeroed != cudaSuccess) cuda.cudaFree(memory);
    cuda.check(zeroed, "cannot clear memory of the GPU");
    *device = memory;
  });
}

void release(mipha_trt* trt, void* device) noexcept {
  trt->libraries.cuda().cudaFree(device);
}

mipha_trt_status copy(mipha_trt* trt, void* to, const void* from, size_t bytes, mipha_trt_direction direction) noexcept {
  return guarded(trt->error, [&] {
    const cudaMemcpyKind kind = direction == MIPHA_TRT_TO_DEVICE     ? cudaMemcpyHostToDevice
                                : direction == MIPHA_TRT_FROM_DEVICE ? cudaMemcpyDeviceToHost
                                                                     : cudaMemcpyDeviceToDevice;
    const Cuda& cuda = trt->libraries.cuda();
    cuda.check(cuda.cudaMemcpyAsync(to, from, bytes, kind, trt->stream), "cannot copy " + std::to_string(bytes) + " bytes");
  });
}

mipha_trt_status wait(mipha_trt* trt) noexcept {
  return guarded(trt->error, [&] { trt->wait(); });
}

}  // namespace
}  // namespace mipha::trt

extern "C" __attribute__((visibility("default"))) const mipha_trt_table* mipha_trt_interface() {
  using namespace mipha::trt;
  static const mipha_trt_table table = {MIPHA_TRT_VERSION, open,          close,        error, facts, build,    load,    unload, profiles,
                                        describe,          scratch_bytes, weight_bytes, bind,  run,   allocate, release, copy,   wait};
  return &table;
}
