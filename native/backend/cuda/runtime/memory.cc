#include "backend/cuda/runtime/memory.h"

#include <algorithm>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

DeviceArena::~DeviceArena() {
  release();
}

void DeviceArena::release() {
  for (const Slab& slab : slabs_) {
    if (slab.data != nullptr) cudaFree(slab.data);
  }
  slabs_.clear();
}

void* DeviceArena::take_bytes(size_t bytes) {
  const size_t size = (std::max<size_t>(bytes, 1) + 255) / 256 * 256;
  open_ += static_cast<int64_t>(size);
  if (slabs_.empty() || (used_ > 0 && used_ + size > kSlabBytes)) {
    if (!real_) slabs_.emplace_back();
    if (!slabs_.empty() && used_ > 0) ++slab_;
    used_ = 0;
  }
  if (!real_) slabs_.back().bytes = used_ + size;
  uint8_t* const data = slabs_.at(slab_).data;
  used_ += size;
  return data == nullptr ? nullptr : data + used_ - size;
}

void DeviceArena::mark(const std::string& name) {
  parts_.emplace_back(name, open_);
  open_ = 0;
}

int64_t DeviceArena::total() const {
  int64_t sum = 0;
  for (const Slab& slab : slabs_) sum += static_cast<int64_t>(slab.bytes);
  return sum;
}

void DeviceArena::allocate(const DeviceArena& plan, cudaStream_t stream) {
  real_ = true;
  for (const Slab& planned : plan.slabs_) {
    Slab slab{planned.bytes};
    const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&slab.data), slab.bytes);
    if (error != cudaSuccess) {
      cudaGetLastError();  // a failed allocation does not make the next call fail
      int64_t held = 0;
      for (const Slab& taken : slabs_) held += static_cast<int64_t>(taken.bytes);
      release();
      if (error != cudaErrorMemoryAllocation) check(error, "cudaMalloc");
      throw Error(Code::kMemory, "the device gave " + std::to_string(held) + " of " + std::to_string(plan.total()) + " bytes",
                  {{"neededBytes", static_cast<double>(plan.total())}, {"availableBytes", static_cast<double>(held)}});
    }
    slabs_.push_back(slab);
    check(cudaMemsetAsync(slab.data, 0, slab.bytes, stream), "memory");
  }
}

void* allocate_pinned(size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, std::max<size_t>(bytes, 1)), "page-locked memory");
  return memory;
}

void release_pinned(void* memory) noexcept {
  if (memory != nullptr) cudaFreeHost(memory);
}

}  // namespace mipha::cuda
