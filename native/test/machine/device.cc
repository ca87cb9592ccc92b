/// Entry points about the device and about errors.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/machine/machine.h"
#include "test/machine/streams.h"

namespace mipha::machine {
namespace {

template <class T>
T number(const char* variable, T otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : static_cast<T>(std::strtoull(text, nullptr, 10));
}

/// What a program may ask of the device that a target stands for.
struct Model {
  int target, multiprocessors, shared_bytes, l2_bytes;
  bool integrated;
};
constexpr Model kModels[] = {{87, 16, 163 << 10, 4 << 20, true},     // Orin
                             {90, 132, 227 << 10, 50 << 20, false},  // H100
                             {110, 20, 227 << 10, 32 << 20, true}};  // Thor; sizes not read off one
Model model() {
  for (Model one : kModels) {
    if (one.target != options().target) continue;
    if (options().processors > 0) one.multiprocessors = options().processors;
    return one;
  }
  std::fprintf(stderr, "MIPHA_MACHINE_TARGET: expected 87, 90 or 110, got %d\n", options().target);
  std::abort();
}

}  // namespace

Options& options() {
  static Options all{number("MIPHA_MACHINE_TARGET", 87), number("MIPHA_MACHINE_SEED", 0u), number("MIPHA_MACHINE_PROCESSORS", 0),
                     number("MIPHA_MACHINE_MEMORY", size_t{8} << 30), number("MIPHA_MACHINE_FAIL_AFTER", -1)};
  return all;
}

}  // namespace mipha::machine

using namespace mipha::machine;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDriverGetVersion(int* version) {
  return cudaRuntimeGetVersion(version);
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const Entry held;
  if (device != 0) return result(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = model().target / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = model().target % 10;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = model().multiprocessors;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 << 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = model().shared_bytes;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = model().l2_bytes;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrIntegrated:
      *value = model().integrated;
      return cudaSuccess;
    case cudaDevAttrCooperativeLaunch:
      *value = 0;
      return cudaSuccess;
    default:
      refuse("device attribute " + std::to_string(attribute) + " is not modelled");
      return result(cudaErrorNotSupported);
  }
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Entry held;
  if (device != 0) return result(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "machine without a GPU");
  properties->totalGlobalMem = options().memory_bytes;
  properties->major = model().target / 10;
  properties->minor = model().target % 10;
  properties->multiProcessorCount = model().multiprocessors;
  properties->sharedMemPerBlock = 48 << 10;
  properties->sharedMemPerBlockOptin = static_cast<size_t>(model().shared_bytes);
  properties->l2CacheSize = model().l2_bytes;
  properties->maxThreadsPerBlock = 1024;
  properties->warpSize = 32;
  properties->integrated = model().integrated;
  properties->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() {
  const Entry held;
  return last_error(false);
}
cudaError_t cudaGetLastError() {
  const Entry held;
  return last_error(true);
}

/// With the fault's own words, which a device would not have.
const char* cudaGetErrorString(cudaError_t error) {
  const Entry held;
  static std::string words;
  if (error == cudaSuccess) return "no error";
  words = std::string(cudaGetErrorName(error)) + (report().empty() ? "" : ": " + report());
  return words.c_str();
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidDeviceFunction:
      return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit:
      return "cudaErrorStreamCaptureImplicit";
    case cudaErrorGraphExecUpdateFailure:
      return "cudaErrorGraphExecUpdateFailure";
    default:
      return "another CUDA error";
  }
}
