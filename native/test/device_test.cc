// Buffers on a device, here memory of the host: what is taken is given back, once.
#include "backend/device.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <vector>

#include "core/cpu_features.h"
#include "core/error.h"

namespace mipha {
namespace {

class HostDevice final : public Device {
 public:
  ~HostDevice() override { EXPECT_TRUE(held.empty()); }

  DeviceFacts facts() const override { return {"host", 0, 0, 0, integrated, 1000, 100}; }
  void* allocate(size_t bytes, const std::string& what) const override {
    if (bytes > 100) throw Error(Code::kMemory, what);
    return *held.insert(std::calloc(bytes, 1)).first;
  }
  void release(void* memory) const noexcept override {
    EXPECT_EQ(held.erase(memory), 1u);
    std::free(memory);
  }
  void copy_in(void* device, const void* host, size_t bytes) const override { std::memcpy(device, host, bytes); }
  void copy_out(void* host, const void* device, size_t bytes) const override { std::memcpy(host, device, bytes); }
  void copy_inside(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  void wait() const override {}

  bool integrated = false;
  mutable std::set<void*> held;
};

TEST(DeviceBuffer, IsGivenBackOnce) {
  const HostDevice device;
  {
    std::vector<DeviceBuffer> buffers;
    for (size_t bytes = 0; bytes < 20; ++bytes) buffers.emplace_back(device, bytes, "rows");  // moves as it grows
    EXPECT_EQ(device.held.size(), 19u);                                                       // nothing has no address
    EXPECT_EQ(buffers.front().data(), nullptr);
    EXPECT_EQ(buffers[7].bytes(), 7u);
    EXPECT_EQ(buffers[7].at(3), static_cast<uint8_t*>(buffers[7].data()) + 3);
    DeviceBuffer& last = buffers.back();
    last = std::move(buffers[7]);  // frees what it had
    EXPECT_EQ(device.held.size(), 18u);
    EXPECT_EQ(last.bytes(), 7u);
    EXPECT_EQ(buffers[7].bytes(), 0u);
    EXPECT_EQ(buffers[7].data(), nullptr);
  }
  EXPECT_TRUE(device.held.empty());
}

TEST(DeviceBuffer, IsRefusedByName) {
  const HostDevice device;
  try {
    DeviceBuffer(device, 101, "keys");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kMemory);
    EXPECT_STREQ(error.what(), "keys");
  }
}

TEST(Device, SharedMemoryIsAvailableWhereTheSystemWouldFreeIt) {
  HostDevice device;
  EXPECT_EQ(device.available_bytes(), 100);
  device.integrated = true;
  EXPECT_GT(device.available_bytes(), 100);
  EXPECT_LE(device.available_bytes(), static_cast<int64_t>(total_memory_bytes()));
}

}  // namespace
}  // namespace mipha
