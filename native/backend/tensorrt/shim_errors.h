// Failures: what the shim throws inside, and what TensorRT says about one in its log and its error recorder, collected in one place.
#pragma once

#include <NvInfer.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>

#include "backend/tensorrt/interface.h"

namespace mipha::trt {

/// Never leaves the shim: the table turns it into its status and error().
struct Failure : std::runtime_error {
  Failure(mipha_trt_status status, const std::string& words) : std::runtime_error(words), status(status) {}
  const mipha_trt_status status;
};

/// TensorRT keeps the first logger it is given for the life of the process and logs from threads of its own, so there is one collector for all.
/// A call remembers mark() when it starts and asks for what came since.
class Collector {
 public:
  uint64_t mark() const;
  void add(const char* text, bool out_of_memory) noexcept;
  std::string since(uint64_t mark) const;  // one line each; "" when there is nothing
  bool out_of_memory_since(uint64_t mark) const;

 private:
  struct Entry {
    uint64_t number;
    bool out_of_memory;
    std::string text;
  };
  mutable std::mutex mutex_;
  std::deque<Entry> entries_;
  uint64_t count_ = 0;
};

Collector& collector();

/// MIPHA_TRT_MEMORY when TensorRT ran out of it since `mark`, else `status`; the words end with all that TensorRT said since.
Failure tensorrt_failure(mipha_trt_status status, const std::string& words, uint64_t mark);

nvinfer1::ILogger& logger();
nvinfer1::IErrorRecorder& recorder();

}  // namespace mipha::trt
