#include "core/arena.h"

#include <sys/mman.h>

#include "core/cpu_features.h"
#include "core/error.h"

namespace mipha {

Arena::Arena(size_t bytes) : capacity_(bytes) {
  const auto available = static_cast<size_t>(available_memory_bytes());
  const auto refuse = [&](const char* what) {
    throw Error(Code::kMemory,
                std::string("model memory: expected at most ") + std::to_string(available) + " bytes " + what + ", needed " + std::to_string(bytes),
                {{"neededBytes", static_cast<double>(bytes)}, {"availableBytes", static_cast<double>(available)}});
  };
  if (bytes > available) refuse("available");
  void* memory = mmap(nullptr, bytes + kAlignment, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) refuse("of address space");
  base_ = static_cast<uint8_t*>(memory);
  madvise(memory, bytes, MADV_HUGEPAGE);  // weights are read front to back on every token: fewer page walks
}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, capacity_ + kAlignment);
}

void* Arena::take_bytes(size_t bytes) {
  const size_t offset = used_;
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (base_ == nullptr) return nullptr;
  if (used_ > capacity_) throw Error(Code::kInternal, "arena: the layout asked for more than it planned");
  return base_ + offset;
}

void Arena::mark(const std::string& name) {
  parts_.emplace_back(name, static_cast<int64_t>(used_ - marked_));
  marked_ = used_;
}

}  // namespace mipha
