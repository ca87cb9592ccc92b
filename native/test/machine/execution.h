/// What runs: a launch, block by block; a block, warp by warp; a warp, its lanes at the lowest program counter first.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "test/machine/memory.h"
#include "test/machine/ptx.h"

namespace mipha::machine {

struct Extent {
  unsigned x = 1, y = 1, z = 1;
  size_t count() const { return size_t{x} * y * z; }
};

/// A cp.async that was issued and not waited for.
struct Copy {
  char* to;
  const char* from;
  Region* region;        // of `to`
  unsigned size, bytes;  // the last size - bytes become zeros
  int group;
};

struct Thread {
  int group = 0;  // of cp.async, being filled
  std::vector<Copy> copies;
  uint32_t unfenced = 0;  // the block's sync at this thread's last write to device memory without a fence behind it
};

struct Warp {
  std::unique_ptr<Row[]> rows;
  int pc[32] = {};
  uint32_t live = 0, waiting = 0;  // waiting: in a barrier
  uint32_t sync = 1;
};

struct Launch {
  const Kernel* kernel;
  Extent grid, block;
  size_t dynamic_bytes;         // of shared memory
  std::vector<char> arguments;  // as the kernel's parameters lie
  uint32_t first_block = 0;     // its number
  // Atomics on a word: the blocks whose earlier writes whoever comes later through the same word may rely on.
  std::unordered_map<const void*, std::unordered_set<uint32_t>> published;
};

struct Block {
  Launch* launch;
  Extent index;
  uint32_t number;
  uint32_t sync = 1;  // barriers, counted from one
  unsigned alive = 0, exited = 0, arrived = 0;
  const Instruction* barrier = nullptr;  // that threads wait in
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Region shared;
  std::vector<const void*> met;  // words that atomics of this block touched
};

/// Writes of `other` before an atomic are seen by `block` after its own atomic on the same word, if a fence stood between write and atomic.
bool acquired(const Block& block, uint32_t other);
void publish(Block& block, const void* word);

/// One instruction for the lanes that execute it.
struct Step {
  Block& block;
  Warp& warp;
  unsigned first_thread;  // that of lane 0
  const Instruction& instruction;
  uint32_t lanes;

  Row& row(size_t operand) const { return warp.rows[static_cast<size_t>(instruction.rows[operand])]; }
  void check_all_lanes() const;  // .aligned
};

template <class F>
void for_lanes(uint32_t lanes, F f) {
  if (lanes == ~0u) {
    for (int lane = 0; lane < 32; ++lane) f(lane);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) f(__builtin_ctz(lanes));
  }
}

struct Fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Who is running, for the words of a fault.
struct Place {
  const Block* block = nullptr;
  const Instruction* instruction = nullptr;
  unsigned thread = 0;
};
extern Place place;
[[noreturn]] void fault(const char* format, ...) __attribute__((format(printf, 1, 2)));

/// Bits of the machine's own generator, seeded by each launch.
uint32_t random_bits();
void seed_random(uint32_t seed);

/// Runs all blocks; throws Fault.
void run(Launch& launch);

}  // namespace mipha::machine
