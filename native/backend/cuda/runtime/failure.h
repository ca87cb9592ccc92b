// What CUDA says, as the Error it means.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "core/error.h"

namespace mipha::cuda {

/// Throws unless all is well: kMemory, kBackend where there is no driver, no device or no code for it, else kDevice.
inline void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  Code code = Code::kDevice;
  if (error == cudaErrorMemoryAllocation) code = Code::kMemory;
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice || error == cudaErrorNoKernelImageForDevice) code = Code::kBackend;
  throw Error(code, std::string(what) + ": " + cudaGetErrorString(error));
}

}  // namespace mipha::cuda
