#include <cstring>

#include "test/machine/execution.h"
#include "test/machine/memory.h"

namespace mipha::machine {
namespace {

constexpr size_t kLargestWatched = 64u << 20;  // cells take eight times as much

const char* name(const Region& region) {
  return region.kind == Region::kShared ? "shared memory" : "device memory";
}

/// Whether nothing orders an earlier access, of these counts, before this thread's.
bool unordered(const Block& block, unsigned thread, bool shared, uint32_t by_block, uint32_t sync, uint32_t warp_sync, uint16_t by,
               uint16_t by_warp) {
  if (by_block != block.number) return !shared && by_block >= block.launch->first_block && !acquired(block, by_block);
  if (sync != block.sync || by == thread) return false;
  return by_warp != thread / 32 || warp_sync == block.warps[thread / 32].sync;
}

void record_read(const Block& block, unsigned thread, Cell& cell, uint8_t mask) {
  const uint16_t warp = static_cast<uint16_t>(thread / 32);
  if (cell.read_block == block.number && cell.read_sync == block.sync) {
    if (cell.reader != thread) cell.reader = kSeveral;
    if (cell.reader_warp != warp) cell.reader_warp = kSeveral;
    cell.read |= mask;
  } else {
    cell.reader = static_cast<uint16_t>(thread);
    cell.reader_warp = warp;
    cell.read = mask;
  }
  cell.read_block = block.number;
  cell.read_sync = block.sync;
  cell.read_warp_sync = block.warps[warp].sync;
}

void record_write(const Block& block, unsigned thread, Cell& cell, uint8_t mask, bool atomic) {
  const bool again = cell.write_block == block.number && cell.write_sync == block.sync && cell.writer == thread;
  cell.written = again ? cell.written | mask : mask;
  cell.write_block = block.number;
  cell.write_sync = block.sync;
  cell.write_warp_sync = block.warps[thread / 32].sync;
  cell.writer = static_cast<uint16_t>(thread);
  cell.atomic = atomic;
  cell.initialised = static_cast<uint8_t>((cell.initialised_block == block.number ? cell.initialised : 0) | mask);
  cell.initialised_block = block.number;
}

}  // namespace

void check_words(Block& block, unsigned thread, Region* region, size_t offset, size_t bytes, Access access) {
  const uint8_t mask = bytes >= 4 ? 15 : static_cast<uint8_t>(((1u << bytes) - 1) << (offset & 3));
  const bool shared = region->kind == Region::kShared;
  for (size_t i = offset / 4; i <= (offset + bytes - 1) / 4; ++i) {
    Cell& cell = region->cells[i];
    const bool both_atomic = access == Access::kAtomic && cell.atomic;
    if ((cell.written & mask) && !both_atomic &&
        unordered(block, thread, shared, cell.write_block, cell.write_sync, cell.write_warp_sync, cell.writer, cell.writer / 32)) {
      fault("race in %s at byte %zu: %s here, written by thread %u of %s, nothing in between", name(*region), i * 4,
            access == Access::kRead ? "read" : "written", cell.writer, cell.write_block == block.number ? "this block" : "another block");
    }
    if (shared && access == Access::kRead && cell.copy_block == block.number)
      fault("shared memory at byte %zu read before its cp.async was waited for", i * 4);
    if (shared && access != Access::kWrite && ((cell.initialised_block == block.number ? cell.initialised : 0) & mask) != mask) {
      fault("uninitialised shared memory read at byte %zu", i * 4);
    }
    if (access == Access::kRead) {
      record_read(block, thread, cell, mask);
      continue;
    }
    if ((cell.read & mask) && unordered(block, thread, shared, cell.read_block, cell.read_sync, cell.read_warp_sync, cell.reader, cell.reader_warp)) {
      fault("race in %s at byte %zu: written here, read by %s of %s, nothing in between", name(*region), i * 4,
            cell.reader == kSeveral ? "several threads" : ("thread " + std::to_string(cell.reader)).c_str(),
            cell.read_block == block.number ? "this block" : "another block");
    }
    record_write(block, thread, cell, mask, access == Access::kAtomic);
  }
}

void check_bounds(const Region* region, const void* address, size_t bytes, size_t alignment) {
  if (region == nullptr) fault("access through a pointer to no allocation (%p)", address);
  if (!region->alive) fault("use after free");
  const size_t offset = static_cast<size_t>(static_cast<const char*>(address) - region->base);
  if (offset >= region->size || bytes > region->size - offset) {
    fault("%zu bytes at offset %lld of %s with %zu bytes: out of bounds", bytes, static_cast<long long>(offset), name(*region), region->size);
  }
  if (offset % alignment != 0) fault("access of %zu bytes at offset %zu is misaligned", alignment, offset);
}

void check_access(Block& block, unsigned thread, Region* region, const void* address, size_t bytes, size_t alignment, Access access) {
  check_bounds(region, address, bytes, alignment);
  const size_t offset = static_cast<size_t>(static_cast<const char*>(address) - region->base);
  if (region->kind != Region::kShared) {
    if (!region->all_initialised) {
      uint8_t* initialised = region->initialised.data() + offset;
      if (access == Access::kWrite) std::memset(initialised, 1, bytes);
      if (std::memchr(initialised, 0, bytes) != nullptr) fault("uninitialised device memory read at offset %zu", offset);
    }
    if (access == Access::kWrite) block.threads[thread].unfenced = block.sync;
    if (region->cells.empty()) {
      if (access == Access::kRead || region->size > kLargestWatched) return;
      region->cells.resize(region->size / 4 + 1);
    }
  }
  check_words(block, thread, region, offset, bytes, access);
}

}  // namespace mipha::machine
