#include "test/standin/device.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace mipha::standin {
namespace {

constexpr size_t kAlignment = 256;

[[noreturn]] void end(const char* what) {
  std::fprintf(stderr, "stand-in: %s\n", what);
  std::abort();
}

}  // namespace

std::string setting(const char* name, const std::string& otherwise) {
  const char* const value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

Device::~Device() {
  if (!allocations_.empty() || taken_ != 0) end("closed with memory that was not given back");
}

int64_t Device::total_bytes() const {
  return std::stoll(setting("MIPHA_STANDIN_MEMORY", "8000000000"));
}

void Device::take(int64_t bytes, const std::string& what) {
  if (bytes > free_bytes()) {
    throw Failure(MIPHA_TRT_MEMORY, what + ": needed " + std::to_string(bytes) + " bytes, free " + std::to_string(free_bytes()));
  }
  taken_ += bytes;
}

void* Device::allocate(size_t bytes) {
  take(static_cast<int64_t>(bytes), "allocation");
  const size_t whole = std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
  void* const address = std::aligned_alloc(kAlignment, whole);
  if (address == nullptr) {
    give_back(static_cast<int64_t>(bytes));
    throw Failure(MIPHA_TRT_MEMORY, "the system has no memory left");
  }
  std::memset(address, 0, whole);
  allocations_[reinterpret_cast<uintptr_t>(address)] = bytes;
  return address;
}

void Device::release(void* address) {
  try {
    wait();
  } catch (const Failure&) {  // whoever gives back after a failure has heard of it
  }
  const auto found = allocations_.find(reinterpret_cast<uintptr_t>(address));
  if (found == allocations_.end()) end("released what was never allocated");
  give_back(static_cast<int64_t>(found->second));
  allocations_.erase(found);
  std::free(address);
}

void Device::check(const void* address, size_t bytes, const std::string& what) const {
  const auto at = reinterpret_cast<uintptr_t>(address);
  auto found = allocations_.upper_bound(at);
  if (found != allocations_.begin()) {
    --found;
    const size_t offset = at - found->first;
    if (offset <= found->second && bytes <= found->second - offset) return;
  }
  throw Failure(MIPHA_TRT_ARGUMENT, what + ": " + std::to_string(bytes) + " bytes do not lie inside one allocation");
}

void Device::wait() {
  const auto queue = std::exchange(queue_, {});
  for (const auto& work : queue) work();
}

}  // namespace mipha::standin
