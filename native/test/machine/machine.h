/// The machine without a GPU: what a test may set and ask. Kernels and streams are reached through the CUDA runtime's own functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mipha::machine {

struct Options {
  int target;           // PTX that is run, e.g. 87; MIPHA_MACHINE_TARGET, 87 without
  uint32_t seed;        // other orders of warps, blocks and ready work; MIPHA_MACHINE_SEED, 0 (all in order) without
  int processors;       // multiprocessors it says it has; MIPHA_MACHINE_PROCESSORS, those of the target's board without
  size_t memory_bytes;  // of the device; MIPHA_MACHINE_MEMORY, 8 GiB without
  int fail_after;       // launches that go well, and then the device is lost; MIPHA_MACHINE_FAIL_AFTER, never without
};
Options& options();

/// The first fault since the last call, empty without: kernel, block, thread, place in the source, what. Forgets the error that stays after a fault.
std::string take_report();

}  // namespace mipha::machine
