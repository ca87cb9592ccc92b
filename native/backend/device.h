// An accelerator as its backends need it beside what they run there: memory, copies, one stream, facts. Whatever brings the device implements it:
// a library behind a table of functions, or the runtime of the vendor itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

namespace mipha {

struct DeviceFacts {
  std::string name;            // "Orin"
  int compute_capability = 0;  // 87: major * 10 + minor
  int runtime_version = 0;     // 12060: as cudaRuntimeGetVersion says it
  int driver_version = 0;
  bool integrated = false;  // shares the memory of the CPU, as on Jetson
  int64_t total_bytes = 0, free_bytes = 0;
};

/// One thread calls at a time. Copies and what the backend runs are queued on one stream in order; wait() ends them, and host memory that takes part
/// in a copy stays as it is until then. What fails throws: kMemory, or kDevice when the device itself failed.
class Device {
 public:
  virtual ~Device() = default;

  virtual DeviceFacts facts() const = 0;
  /// Bytes that can be had now. On a board that shares its memory that includes what the system keeps only as a cache.
  int64_t available_bytes() const;

  /// At least one byte, zeroed, at an address that is a multiple of 256. Throws kMemory naming `what`, with needed and available bytes.
  virtual void* allocate(size_t bytes, const std::string& what) const = 0;
  virtual void release(void* memory) const noexcept = 0;

  // Copies of nothing do nothing; ranges do not overlap.
  virtual void copy_in(void* device, const void* host, size_t bytes) const = 0;
  virtual void copy_out(void* host, const void* device, size_t bytes) const = 0;
  virtual void copy_inside(void* to, const void* from, size_t bytes) const = 0;
  virtual void wait() const = 0;
};

/// Zeroed memory on a device, which outlives it.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  /// Without bytes it has no address. Throws kMemory naming `what`.
  DeviceBuffer(const Device& device, size_t bytes, const std::string& what);
  ~DeviceBuffer() { reset(); }
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  void* at(size_t byte) const { return static_cast<uint8_t*>(data_) + byte; }
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void reset();

  const Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mipha
