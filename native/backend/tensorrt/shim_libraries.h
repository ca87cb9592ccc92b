// TensorRT and CUDA, opened at run time: the shim has no undefined symbol of either, so that it loads everywhere and says what is missing.
#pragma once

#include <NvInfer.h>
#include <NvOnnxParser.h>
#include <cuda_runtime_api.h>

#include <memory>
#include <string>

#include "backend/tensorrt/interface.h"

namespace mipha::trt {

/// The functions of the CUDA runtime that the shim calls. The headers rename some by macros (cudaGetDeviceProperties_v2), alike wherever they are
/// named.
#define MIPHA_CUDA_FUNCTIONS(X) \
  X(cudaDeviceGetAttribute)     \
  X(cudaDriverGetVersion)       \
  X(cudaFree)                   \
  X(cudaGetDeviceCount)         \
  X(cudaGetDeviceProperties)    \
  X(cudaGetErrorString)         \
  X(cudaGetLastError)           \
  X(cudaMalloc)                 \
  X(cudaMemGetInfo)             \
  X(cudaMemcpyAsync)            \
  X(cudaMemsetAsync)            \
  X(cudaRuntimeGetVersion)      \
  X(cudaStreamCreateWithFlags)  \
  X(cudaStreamDestroy)          \
  X(cudaStreamSynchronize)

struct Cuda {
#define MIPHA_MEMBER(name) decltype(&::name) name = nullptr;
  MIPHA_CUDA_FUNCTIONS(MIPHA_MEMBER)
#undef MIPHA_MEMBER

  /// Throws what CUDA says of a code that is not success; MIPHA_TRT_MEMORY when memory ran out, else `status`.
  void check(cudaError_t code, const std::string& what, mipha_trt_status status = MIPHA_TRT_DEVICE) const;
};

struct Version {
  int32_t major, minor, patch, build;
  std::string words() const;  // "10.3.0.30"
};

Version header_version();

class Libraries {
 public:
  /// Throws MIPHA_TRT_UNAVAILABLE when a library is missing or TensorRT is not one that the headers fit.
  Libraries();

  const Cuda& cuda() const { return cuda_; }
  const Version& tensorrt() const { return tensorrt_; }
  // These return null when TensorRT cannot; the collector has its words. The parser's library is opened by the first call.
  std::unique_ptr<nvinfer1::IBuilder> builder() const;
  std::unique_ptr<nvinfer1::IRuntime> runtime() const;
  std::unique_ptr<nvonnxparser::IParser> parser(nvinfer1::INetworkDefinition& network) const;

 private:
  using Create = void*(void* logger, int32_t version);

  Cuda cuda_;
  Version tensorrt_;
  Create* create_builder_ = nullptr;
  Create* create_runtime_ = nullptr;
};

}  // namespace mipha::trt
