#include <sys/mman.h>

#include <cstring>
#include <map>
#include <memory>

#include "test/machine/machine.h"
#include "test/machine/memory.h"

namespace mipha::machine {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kLargestFilled = size_t{1} << 30;  // larger ones are zero and not watched: their pages appear when touched
size_t pages(size_t bytes) {
  return (bytes + kPage - 1) & ~(kPage - 1);
}

// By base; kept after a release, so that a use after it has a name.
std::map<const char*, std::unique_ptr<Region>>& regions() {
  static std::map<const char*, std::unique_ptr<Region>> all;
  return all;
}
/// Unlike an assignment of {}, which leaves a vector its memory.
template <class T>
void let_go(std::vector<T>& values) {
  std::vector<T>().swap(values);
}

size_t in_use = 0;
bool is_open = false;

}  // namespace

void* allocate(size_t bytes, Region::Kind kind) {
  if (kind == Region::kDevice && bytes > options().memory_bytes - in_use) return nullptr;
  const size_t mapped = pages(bytes);
  void* memory = mmap(nullptr, mapped + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  char* base = static_cast<char*>(memory) + kPage;
  mprotect(base, mapped, PROT_READ | PROT_WRITE);
  madvise(base, mapped, MADV_HUGEPAGE);  // device memory is opened and closed at every wait
  auto region = std::make_unique<Region>();
  region->base = base;
  region->size = bytes;
  region->kind = kind;
  if (kind == Region::kDevice) {
    in_use += bytes;
    region->all_initialised = bytes > kLargestFilled;
    if (!region->all_initialised) {
      std::memset(base, 0xFF, mapped);
      region->initialised.assign(bytes, 0);
    }
    if (!is_open) mprotect(base, mapped, PROT_NONE);
  } else {
    region->all_initialised = true;
  }
  regions()[base] = std::move(region);
  return base;
}

bool release(void* memory, Region::Kind kind) {
  Region* region = find(memory);
  if (region == nullptr || region->base != memory || !region->alive || region->kind != kind) return false;
  region->alive = false;
  if (kind == Region::kDevice) in_use -= region->size;
  let_go(region->cells);
  let_go(region->initialised);
  // The pages go back, the address stays taken.
  mmap(memory, pages(region->size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  return true;
}

size_t bytes_in_use() {
  return in_use;
}

Region* find(const void* address) {
  const char* at = static_cast<const char*>(address);
  auto next = regions().upper_bound(at);
  if (next != regions().end() && at >= next->first - kPage) return next->second.get();  // one ahead of its start
  if (next == regions().begin()) return nullptr;
  Region* region = std::prev(next)->second.get();
  return at < region->base + pages(region->size) + kPage ? region : nullptr;  // one behind its end
}

bool contains(const void* memory, size_t bytes, bool host) {
  const Region* region = find(memory);
  if (region == nullptr) return host;
  const size_t offset = static_cast<size_t>(static_cast<const char*>(memory) - region->base);
  return region->alive && (host || region->kind == Region::kDevice) && offset <= region->size && bytes <= region->size - offset;
}

void mark_initialised(void* memory, size_t bytes) {
  Region* region = find(memory);
  if (region == nullptr || region->all_initialised) return;
  const size_t offset = static_cast<size_t>(static_cast<char*>(memory) - region->base);
  std::memset(region->initialised.data() + offset, 1, bytes);
  if (bytes < region->size) return;
  region->all_initialised = true;
  let_go(region->initialised);
}

void open_device_memory(bool open) {
  is_open = open;
  for (auto& [base, region] : regions()) {
    if (!region->alive || region->kind != Region::kDevice) continue;
    mprotect(region->base, pages(region->size), open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

}  // namespace mipha::machine
