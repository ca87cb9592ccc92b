#include "backend/device.h"

#include <algorithm>

#include "core/cpu_features.h"

namespace mipha {

int64_t Device::available_bytes() const {
  const DeviceFacts now = facts();
  return now.integrated ? std::max<int64_t>(now.free_bytes, static_cast<int64_t>(available_memory_bytes())) : now.free_bytes;
}

DeviceBuffer::DeviceBuffer(const Device& device, size_t bytes, const std::string& what) : device_(&device), bytes_(bytes) {
  if (bytes > 0) data_ = device.allocate(bytes, what);
}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  if (this == &other) return *this;
  reset();
  device_ = other.device_;
  bytes_ = std::exchange(other.bytes_, 0);
  data_ = std::exchange(other.data_, nullptr);
  return *this;
}

void DeviceBuffer::reset() {
  if (data_ != nullptr) device_->release(data_);
  data_ = nullptr;
}

}  // namespace mipha
