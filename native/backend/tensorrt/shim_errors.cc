#include "backend/tensorrt/shim_errors.h"

#include <algorithm>
#include <cstring>

namespace mipha::trt {
namespace {

constexpr size_t kKept = 64;  // a failing build may repeat itself for every tactic

bool says_out_of_memory(const char* text) {
  return std::strstr(text, "OutOfMemory") != nullptr || std::strstr(text, "out of memory") != nullptr;
}

class Logger final : public nvinfer1::ILogger {
 public:
  void log(Severity severity, const nvinfer1::AsciiChar* message) noexcept override {
    if (severity <= Severity::kERROR) collector().add(message, says_out_of_memory(message));
  }
};

/// Keeps nothing of its own: TensorRT reads errors back only through the application.
class Recorder final : public nvinfer1::IErrorRecorder {
 public:
  int32_t getNbErrors() const noexcept override { return 0; }
  nvinfer1::ErrorCode getErrorCode(int32_t) const noexcept override { return nvinfer1::ErrorCode::kSUCCESS; }
  ErrorDesc getErrorDesc(int32_t) const noexcept override { return ""; }
  bool hasOverflowed() const noexcept override { return false; }
  void clear() noexcept override {}
  bool reportError(nvinfer1::ErrorCode code, ErrorDesc text) noexcept override {
    collector().add(text, code == nvinfer1::ErrorCode::kFAILED_ALLOCATION || says_out_of_memory(text));
    return true;  // the function that failed ends
  }
  RefCount incRefCount() noexcept override { return 1; }  // lives as long as the process
  RefCount decRefCount() noexcept override { return 1; }
};

}  // namespace

uint64_t Collector::mark() const {
  const std::lock_guard lock(mutex_);
  return count_;
}

void Collector::add(const char* text, bool out_of_memory) noexcept try {
  const std::lock_guard lock(mutex_);
  entries_.push_back({count_++, out_of_memory, text});
  if (entries_.size() > kKept) entries_.pop_front();
} catch (...) {  // no memory for the words: the status tells what there is to tell
}

std::string Collector::since(uint64_t mark) const {
  const std::lock_guard lock(mutex_);
  std::string all;
  for (const Entry& entry : entries_) {
    // What is recorded is mostly logged as well, with a prefix.
    const bool said = std::any_of(entries_.begin(), entries_.end(), [&](const Entry& other) {
      const bool longer = other.text.size() > entry.text.size() || (other.text == entry.text && other.number < entry.number);
      return other.number >= mark && longer && other.text.find(entry.text) != std::string::npos;
    });
    if (entry.number >= mark && !said) all += (all.empty() ? "" : "\n") + entry.text;
  }
  return all;
}

bool Collector::out_of_memory_since(uint64_t mark) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) { return entry.number >= mark && entry.out_of_memory; });
}

Failure tensorrt_failure(mipha_trt_status status, const std::string& words, uint64_t mark) {
  const std::string said = collector().since(mark);
  return {collector().out_of_memory_since(mark) ? MIPHA_TRT_MEMORY : status, said.empty() ? words : words + ":\n" + said};
}

// Never destroyed: TensorRT may log while the process ends.

Collector& collector() {
  static Collector& instance = *new Collector;
  return instance;
}

nvinfer1::ILogger& logger() {
  static Logger& instance = *new Logger;
  return instance;
}

nvinfer1::IErrorRecorder& recorder() {
  static Recorder& instance = *new Recorder;
  return instance;
}

}  // namespace mipha::trt
