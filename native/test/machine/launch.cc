/// Blocks one after the other; in a block, warps until each waits in a barrier or has ended; in a warp, the lanes that are furthest behind.
#include <algorithm>
#include <climits>
#include <cstdarg>
#include <cstdio>

#include "test/machine/lanes.h"
#include "test/machine/machine.h"

namespace mipha::machine {

Place place;

void fault(const char* format, ...) {
  char what[400], where[400];
  va_list list;
  va_start(list, format);
  std::vsnprintf(what, sizeof what, format, list);
  va_end(list);
  const Block& block = *place.block;
  const Extent& size = block.launch->block;
  const unsigned t = place.thread;
  std::snprintf(where, sizeof where, "block (%u,%u,%u) thread (%u,%u,%u) at %s (%s)", block.index.x, block.index.y, block.index.z, t % size.x,
                t / size.x % size.y, t / size.x / size.y, place.instruction->place.c_str(), place.instruction->text.c_str());
  throw Fault(block.launch->kernel->name + ": " + where + ": " + what);
}

namespace {
uint32_t random_state = 1;
}
uint32_t random_bits() {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}
void seed_random(uint32_t seed) {
  random_state = seed;
}

namespace {

unsigned count(uint32_t lanes) {
  return static_cast<unsigned>(__builtin_popcount(lanes));
}

class WarpRunner {
 public:
  WarpRunner(Block& block, unsigned index) : block_(block), warp_(block.warps[index]), first_(index * 32) {}

  /// Until no lane can go on.
  void run() {
    for (;;) {
      const uint32_t runnable = warp_.live & ~warp_.waiting;
      if (runnable == 0) return;
      int lowest = INT_MAX;
      next_ = INT_MAX;
      for_lanes(runnable, [&](int l) { lowest = std::min(lowest, warp_.pc[l]); });
      lanes_ = 0;
      for_lanes(runnable, [&](int l) {
        if (warp_.pc[l] == lowest) {
          lanes_ |= 1u << l;
        } else {
          next_ = std::min(next_, warp_.pc[l]);
        }
      });
      run_lanes(lowest);
    }
  }

 private:
  /// Until they part, wait, end or meet other lanes.
  void run_lanes(int pc) {
    const std::vector<Instruction>& code = block_.launch->kernel->code;
    for (;; ++pc) {
      while (pc < next_ && code[static_cast<size_t>(pc)].kind == Instruction::kPlain) {
        plain(code[static_cast<size_t>(pc)]);
        ++pc;
      }
      if (pc >= next_) return set(lanes_, pc);
      const Instruction& in = code[static_cast<size_t>(pc)];
      const uint32_t chosen = choose(in);
      if (in.kind == Instruction::kBranch) {
        if (chosen == lanes_) {
          pc = in.target - 1;
          continue;
        }
        if (chosen == 0) continue;
        set(chosen, in.target);
        return set(lanes_ & ~chosen, pc + 1);
      }
      set(lanes_, pc + 1);
      return in.kind == Instruction::kReturn ? end(chosen) : wait(in);
    }
  }

  uint32_t choose(const Instruction& in) {
    place.instruction = &in;
    place.thread = first_ + static_cast<unsigned>(__builtin_ctz(lanes_));
    if (in.predicate < 0) return lanes_;
    const Row& predicate = warp_.rows[static_cast<size_t>(in.predicate)];
    uint32_t chosen = 0;
    for_lanes(lanes_, [&](int l) { chosen |= (predicate[l] & 1) != in.negated ? 1u << l : 0; });
    return chosen;
  }

  void plain(const Instruction& in) {
    const uint32_t chosen = choose(in);
    if (chosen == 0) return;
    Step step{block_, warp_, first_, in, chosen};
    in.run(step);
  }

  void set(uint32_t lanes, int pc) {
    for_lanes(lanes, [&](int l) { warp_.pc[l] = pc; });
  }

  void end(uint32_t lanes) {
    for_lanes(lanes, [&](int l) {
      place.thread = first_ + static_cast<unsigned>(l);
      if (!block_.threads[place.thread].copies.empty()) fault("ends with cp.async copies that it never waited for");
    });
    warp_.live &= ~lanes;
    block_.alive -= count(lanes);
    block_.exited += count(lanes);
    if (lanes != 0 && block_.arrived > 0) fault("ends while others wait in the barrier at %s", block_.barrier->place.c_str());
  }

  void wait(const Instruction& in) {
    if (block_.exited > 0) fault("barrier after %u threads have ended", block_.exited);
    if (block_.arrived > 0 && block_.barrier != &in) fault("barrier while others wait in the one at %s", block_.barrier->place.c_str());
    block_.barrier = &in;
    block_.arrived += count(lanes_);
    warp_.waiting |= lanes_;
  }

  Block& block_;
  Warp& warp_;
  const unsigned first_;
  uint32_t lanes_ = 0;  // that run now
  int next_ = INT_MAX;  // where the nearest of the others waits to go on together
};

void start_block(Block& block, Launch& launch, size_t at) {
  static uint32_t numbers = 0;
  const unsigned threads = static_cast<unsigned>(launch.block.count()), x = launch.grid.x, y = launch.grid.y;
  block.launch = &launch;
  block.index = {static_cast<unsigned>(at % x), static_cast<unsigned>(at / x % y), static_cast<unsigned>(at / x / y)};
  block.number = ++numbers;
  if (launch.first_block == 0) launch.first_block = block.number;
  block.sync = 1;
  block.alive = threads;
  block.exited = block.arrived = 0;
  block.barrier = nullptr;
  block.met.clear();
  block.threads.assign(threads, Thread());
  std::fill(block.shared.base, block.shared.base + block.shared.size, static_cast<char>(0xDB));
  const Kernel& kernel = *launch.kernel;
  for (unsigned w = 0; w < block.warps.size(); ++w) {
    Warp& warp = block.warps[w];
    warp.live = warp.waiting = 0;
    warp.sync = 1;
    for (const auto& [row, value] : kernel.constants) std::fill(warp.rows[row], warp.rows[row] + 32, value);
    for (unsigned l = 0; l < 32 && w * 32 + l < threads; ++l) {
      const unsigned t = w * 32 + l;
      const Extent &size = launch.block, &grid = launch.grid, &index = block.index;
      const unsigned special[kSpecials] = {
          t % size.x, t / size.x % size.y, t / size.x / size.y, size.x, size.y, size.z, index.x, index.y, index.z, grid.x, grid.y, grid.z, l};
      for (int i = 0; i < kSpecials; ++i) warp.rows[i][l] = special[i];
      warp.pc[l] = 0;
      warp.live |= 1u << l;
    }
  }
}

}  // namespace

void run_block(Block& block) {
  const unsigned warps = static_cast<unsigned>(block.warps.size());
  while (block.alive > 0) {
    const unsigned first = options().seed != 0 ? random_bits() % warps : 0;
    for (unsigned i = 0; i < warps; ++i) WarpRunner(block, (first + i) % warps).run();
    if (block.alive == 0) break;
    if (block.arrived < block.alive)
      fault("deadlock: %u of %u threads wait in the barrier at %s", block.arrived, block.alive, block.barrier->place.c_str());
    block.arrived = 0;
    ++block.sync;
    for (Warp& warp : block.warps) warp.waiting = 0;
  }
}

void run(Launch& launch) {
  if (options().fail_after == 0) throw Fault(launch.kernel->name + ": the device is lost, as MIPHA_MACHINE_FAIL_AFTER asks for");
  if (options().fail_after > 0) --options().fail_after;
  seed_random(options().seed);
  std::vector<size_t> order(launch.grid.count());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (options().seed != 0) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random_bits() % i]);
  }
  Block block;
  const size_t shared = launch.kernel->shared_bytes + launch.dynamic_bytes;
  std::vector<char> memory(shared + 128);
  block.shared.base = memory.data() + (128 - reinterpret_cast<uintptr_t>(memory.data()) % 128) % 128;
  block.shared.size = shared;
  block.shared.kind = Region::kShared;
  block.shared.cells.resize(shared / 4 + 1);
  block.warps.resize((launch.block.count() + 31) / 32);
  for (Warp& warp : block.warps) warp.rows.reset(new Row[static_cast<size_t>(launch.kernel->rows)]());
  place.block = &block;
  for (size_t at : order) {
    start_block(block, launch, at);
    run_block(block);
  }
}

}  // namespace mipha::machine
