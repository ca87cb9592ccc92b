#include "backend/tensorrt/shim_libraries.h"

#include <dlfcn.h>

#include "backend/tensorrt/shim_errors.h"

#define MIPHA_TEXT_OF(name) #name
#define MIPHA_TEXT(name) MIPHA_TEXT_OF(name)

namespace mipha::trt {
namespace {

constexpr const char* kCompileAgain = "compile the shim again (npm rebuild mipha-edge; in a clone: npm run setup)";

/// Open for as long as the process lives: neither TensorRT nor CUDA survives being unloaded.
class Library {
 public:
  Library(const std::string& name, const std::string& hint) : name_(name), handle_(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) throw Failure(MIPHA_TRT_UNAVAILABLE, "cannot open " + std::string(dlerror()) + ". " + hint);
  }

  template <class Function>
  void find(Function*& out, const char* symbol) const {
    out = reinterpret_cast<Function*>(dlsym(handle_, symbol));
    if (out == nullptr) throw Failure(MIPHA_TRT_UNAVAILABLE, name_ + " has no function " + symbol + ": " + kCompileAgain);
  }

 private:
  std::string name_;
  void* handle_;
};

std::string major_of_headers() {
  return std::to_string(header_version().major);
}

}  // namespace

void Cuda::check(cudaError_t code, const std::string& what, mipha_trt_status status) const {
  if (code == cudaSuccess) return;
  cudaGetLastError();  // a failed allocation must not be reported again by the next call
  throw Failure(code == cudaErrorMemoryAllocation ? MIPHA_TRT_MEMORY : status, what + ": CUDA says: " + cudaGetErrorString(code));
}

std::string Version::words() const {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch) + "." + std::to_string(build);
}

Version header_version() {
  return {NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR, NV_TENSORRT_PATCH, NV_TENSORRT_BUILD};
}

Libraries::Libraries() {
  const std::string cuda_major = std::to_string(CUDART_VERSION / 1000);
  const Library cuda("libcudart.so." + cuda_major,
                     "Install the runtime of CUDA " + cuda_major + ", or add its folder (/usr/local/cuda/lib64) to LD_LIBRARY_PATH");
#define MIPHA_FIND(name) cuda.find(cuda_.name, MIPHA_TEXT(name));
  MIPHA_CUDA_FUNCTIONS(MIPHA_FIND)
#undef MIPHA_FIND

  const Version headers = header_version();
  const std::string name = "libnvinfer.so." + major_of_headers();
  const Library tensorrt(name, "The shim was compiled for TensorRT " + headers.words() + ": install that, or " + kCompileAgain);
  const auto number = [&](const char* symbol) {
    int32_t (*function)() = nullptr;
    tensorrt.find(function, symbol);
    return function();
  };
  tensorrt_ = {number("getInferLibMajorVersion"), number("getInferLibMinorVersion"), number("getInferLibPatchVersion"),
               number("getInferLibBuildVersion")};
  // Within a major version functions are only added at the end of the tables; another one has other tables.
  if (tensorrt_.major != headers.major || tensorrt_.minor < headers.minor) {
    throw Failure(MIPHA_TRT_UNAVAILABLE, name + ": expected TensorRT " + headers.words() + ", which the shim was compiled for, or a later " +
                                             major_of_headers() + ".x, received " + tensorrt_.words() + ": " + kCompileAgain);
  }
  tensorrt.find(create_builder_, "createInferBuilder_INTERNAL");
  tensorrt.find(create_runtime_, "createInferRuntime_INTERNAL");
}

std::unique_ptr<nvinfer1::IBuilder> Libraries::builder() const {
  return std::unique_ptr<nvinfer1::IBuilder>(static_cast<nvinfer1::IBuilder*>(create_builder_(&logger(), NV_TENSORRT_VERSION)));
}

std::unique_ptr<nvinfer1::IRuntime> Libraries::runtime() const {
  return std::unique_ptr<nvinfer1::IRuntime>(static_cast<nvinfer1::IRuntime*>(create_runtime_(&logger(), NV_TENSORRT_VERSION)));
}

std::unique_ptr<nvonnxparser::IParser> Libraries::parser(nvinfer1::INetworkDefinition& network) const {
  const Library library("libnvonnxparser.so." + major_of_headers(),
                        "Building engines needs the ONNX parser of TensorRT (package libnvonnxparsers" + major_of_headers() + ")");
  void* (*create)(void* network, void* logger, int version) = nullptr;
  library.find(create, "createNvOnnxParser_INTERNAL");
  return std::unique_ptr<nvonnxparser::IParser>(static_cast<nvonnxparser::IParser*>(create(&network, &logger(), NV_ONNX_PARSER_VERSION)));
}

}  // namespace mipha::trt
