/// Memory that kernels touch, and what happened to every word of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mipha::machine {

struct Block;

/// What happened to one word of 4 bytes. A record holds only for the block it names, and numbers of blocks never come twice: nothing is ever cleared.
struct Cell {
  uint32_t write_block, write_sync, write_warp_sync;  // syncs: how many barriers the block, or __syncwarp the warp, had behind it
  uint32_t read_block, read_sync, read_warp_sync;
  uint32_t initialised_block, copy_block;  // copy: a cp.async into it is under way
  uint16_t writer, reader, reader_warp;    // threads of the block; kSeveral
  uint8_t written, read, initialised;      // masks of bytes
  bool atomic;
};
constexpr uint16_t kSeveral = 0xFFFF;

struct Region {
  enum Kind { kDevice, kHost, kShared };
  char* base = nullptr;
  size_t size = 0;
  Kind kind = kDevice;
  bool alive = true;
  bool all_initialised = false;
  std::vector<uint8_t> initialised;  // [size], while not all of it is
  std::vector<Cell> cells;           // [size / 4 + 1]; of device memory from the first write by a kernel
};

/// Device memory is NaN before it is written and lies between pages that nobody may touch; null when the machine has no more.
void* allocate(size_t bytes, Region::Kind kind);
/// False when `memory` is not the start of a live allocation of this kind. Its address is never given out again.
bool release(void* memory, Region::Kind kind);
size_t bytes_in_use();
/// The region that an address belongs to, freed ones too, or is next to: an overrun has a name. Null without.
Region* find(const void* address);
/// Whether a copy may touch [memory, memory + bytes): live memory of the machine, or of the process where `host` allows that.
bool contains(const void* memory, size_t bytes, bool host);
/// A copy or a fill wrote it.
void mark_initialised(void* memory, size_t bytes);
/// While closed, the host that touches device memory faults.
void open_device_memory(bool open);

enum class Access { kRead, kWrite, kAtomic };

/// A fault unless `thread` of `block` may touch these bytes now: bounds, life, alignment, initialisation, races, copies under way.
void check_access(Block& block, unsigned thread, Region* region, const void* address, size_t bytes, size_t alignment, Access access);
void check_bounds(const Region* region, const void* address, size_t bytes, size_t alignment);
/// The part of check_access about words.
void check_words(Block& block, unsigned thread, Region* region, size_t offset, size_t bytes, Access access);

}  // namespace mipha::machine
