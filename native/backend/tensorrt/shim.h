// What lies behind the two opaque types of interface.h, and how a function of the table fails.
#pragma once

#include <memory>
#include <new>
#include <string>
#include <vector>

#include "backend/tensorrt/shim_errors.h"
#include "backend/tensorrt/shim_libraries.h"

struct mipha_trt {
  mipha::trt::Libraries libraries;
  cudaStream_t stream = nullptr;
  std::unique_ptr<nvinfer1::IRuntime> runtime;  // made by the first load()
  std::string error;

  mipha_trt();
  ~mipha_trt();
  void wait() const;
};

namespace mipha::trt {

/// Runs the body of a function of the table: nothing is thrown out of it, and `error` has the words of what went wrong.
template <class Body>
mipha_trt_status guarded(std::string& error, Body&& body) noexcept {
  try {
    try {
      body();
      return MIPHA_TRT_OK;
    } catch (const Failure& failure) {
      error = failure.what();
      return failure.status;
    } catch (const std::bad_alloc&) {
      error = "not enough memory on the CPU";
      return MIPHA_TRT_MEMORY;
    } catch (const std::exception& other) {
      error = other.what();
      return MIPHA_TRT_DEVICE;
    } catch (...) {
      error = "unknown exception";
      return MIPHA_TRT_DEVICE;
    }
  } catch (...) {  // no memory for the words
    error.clear();
    return MIPHA_TRT_MEMORY;
  }
}

// The functions of the table that are not in shim.cc.
mipha_trt_status build(mipha_trt* trt, const mipha_trt_build* what, mipha_trt_progress progress, void* user) noexcept;
mipha_trt_status load(mipha_trt* trt, const void* plan, size_t bytes, mipha_trt_engine** out) noexcept;
void unload(mipha_trt_engine* engine) noexcept;
int32_t profiles(const mipha_trt_engine* engine) noexcept;
mipha_trt_status describe(mipha_trt_engine* engine, int32_t profile, int32_t index, mipha_trt_tensor* out) noexcept;
int64_t scratch_bytes(const mipha_trt_engine* engine) noexcept;
int64_t weight_bytes(const mipha_trt_engine* engine) noexcept;
mipha_trt_status bind(mipha_trt_engine* engine, int32_t profile, const char* name, const int64_t* dims, int32_t count, void* device) noexcept;
mipha_trt_status run(mipha_trt_engine* engine, int32_t profile, void* scratch, int64_t scratch_bytes) noexcept;

}  // namespace mipha::trt
