#include "core/read_bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/arena.h"

namespace mipha {
namespace {

constexpr size_t kBytes = size_t{256} << 20;
constexpr size_t kLine = 64;
constexpr size_t kAhead = 4096;  // bytes; the distance and cache level at which the matrix kernels prefetch too
constexpr int kPasses = 12;

/// Touches every cache line.
uint64_t touch(const uint8_t* memory, size_t bytes) {
  uint64_t sums[4] = {};
  for (size_t i = 0; i < bytes; i += 4 * kLine) {
    for (size_t j = 0; j < 4; ++j) {
      __builtin_prefetch(memory + i + j * kLine + kAhead, 0, 2);
      sums[j] += memory[i + j * kLine];
    }
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

double read_bandwidth(ThreadPool& pool) {
  Arena arena(kBytes + kAhead);
  const size_t share = kBytes / pool.threads() / (4 * kLine) * (4 * kLine);
  uint8_t* memory = arena.take<uint8_t>(kBytes + kAhead);
  pool.each(pool.threads(), [&](int index, int) { std::memset(memory + index * share, 1, share); });
  volatile uint64_t sink = 0;
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.each(pool.threads(), [&](int index, int) { sink = touch(memory + index * share, share); });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(share) * pool.threads() / seconds);
  }
  return best;
}

}  // namespace mipha
