// What tests ask the machine without a GPU, where there is one: a fault is what CUDA says when all work is done.
#include <cuda_runtime_api.h>

#include "test/machine/machine.h"

namespace mipha::machine {

Options& options() {
  static Options options = [] {
    int major = 0, minor = 0, processors = 0;
    cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0);
    size_t free = 0, total = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, 0);
    cudaMemGetInfo(&free, &total);
    return Options{major * 10 + minor, 0, processors, free};
  }();
  return options;
}

std::string take_report() {
  const cudaError_t waited = cudaDeviceSynchronize(), last = cudaGetLastError();
  const cudaError_t error = waited != cudaSuccess ? waited : last;
  return error == cudaSuccess ? "" : cudaGetErrorString(error);
}

}  // namespace mipha::machine
