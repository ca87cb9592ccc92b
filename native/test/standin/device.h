// The stand-in's device: memory that knows its bounds, and a queue that does nothing before somebody waits.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "backend/tensorrt/interface.h"

namespace mipha::standin {

/// What a function of the table returns, and the words of error().
struct Failure : std::runtime_error {
  Failure(mipha_trt_status status, const std::string& words) : std::runtime_error(words), status(status) {}
  const mipha_trt_status status;
};

/// The value of an environment variable; `otherwise` when it is not set.
std::string setting(const char* name, const std::string& otherwise);

class Device {
 public:
  ~Device();  // everything has been given back, or the process is ended

  int64_t total_bytes() const;
  int64_t free_bytes() const { return total_bytes() - taken_; }

  void* allocate(size_t bytes);
  void release(void* address);
  /// Memory of engines, which nobody else sees.
  void take(int64_t bytes, const std::string& what);
  void give_back(int64_t bytes) { taken_ -= bytes; }

  /// Throws unless [address, address + bytes) lies inside one allocation.
  void check(const void* address, size_t bytes, const std::string& what) const;

  void queue(std::function<void()> work) { queue_.push_back(std::move(work)); }
  void wait();

 private:
  std::map<uintptr_t, size_t> allocations_;  // address → bytes
  int64_t taken_ = 0;
  std::vector<std::function<void()>> queue_;
};

}  // namespace mipha::standin
