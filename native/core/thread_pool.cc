#include "core/thread_pool.h"

#include <string>
#include <system_error>
#include <utility>

#include "core/error.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mipha {
namespace {

constexpr int kSpins = 4000;  // some tens of microseconds, longer than the serial work between two loops

// A round in one word, so that a worker enters it or finds that it is over, and nothing in between.
constexpr uint64_t kInside = 0xffff;        // how many workers are in it
constexpr uint64_t kOver = 0x1'0000;        // nobody enters any more
constexpr uint64_t kNumber = ~0x1'ffffULL;  // counts up
constexpr uint64_t kNext = 0x2'0000;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) : runs_(threads) {
  try {
    for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
  } catch (const std::system_error&) {
    const size_t got = workers_.size() + 1;
    end();
    throw Error(Code::kBackend, "threads: expected " + std::to_string(threads) + ", the system gave " + std::to_string(got),
                {{"expectedThreads", static_cast<double>(threads)}, {"availableThreads", static_cast<double>(got)}});
  }
}

ThreadPool::~ThreadPool() {
  end();
}

void ThreadPool::end() {
  {
    std::lock_guard lock(mutex_);
    stop_.store(true);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::drain(int thread) {
  try {
    for (int i = 0; i < threads(); ++i) call_all(runs_[(thread + i) % threads()], thread);
  } catch (...) {
    for (Run& run : runs_) run.next.store(run.end, std::memory_order_relaxed);  // nobody begins another
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadPool::call_all(Run& run, int thread) {
  // Who only looks does not take the line from its owner.
  while (run.next.load(std::memory_order_relaxed) < run.end) {
    const int index = run.next.fetch_add(1, std::memory_order_relaxed);
    if (index < run.end) call_(context_, index, thread);
  }
}

void ThreadPool::run(int count, Call call, void* context) {
  if (workers_.empty() || count <= 1) {
    for (int index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  call_ = call;
  context_ = context;
  for (int thread = 0; thread < threads(); ++thread) {
    const auto begin = [&](int64_t of) { return static_cast<int>(of * count / threads()); };
    runs_[thread].next.store(begin(thread), std::memory_order_relaxed);
    runs_[thread].end = begin(thread + 1);
  }
  round_.store((round_.load(std::memory_order_relaxed) & kNumber) + kNext);  // publishes everything above
  if (sleeping_.load() > 0) {
    std::lock_guard lock(mutex_);  // a worker between its last look at round_ and its wait must not miss this
    wake_.notify_all();
  }
  drain(0);
  // Every worker that has come must have left before the context goes away.
  round_.fetch_or(kOver, std::memory_order_relaxed);
  for (int spins = 0; (round_.load(std::memory_order_acquire) & kInside) > 0; ++spins) {
    if (spins < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

/// A round that is not `seen` has begun, and is not over.
bool ThreadPool::news(uint64_t seen) const {
  const uint64_t round = round_.load();
  return (round & kNumber) != seen && (round & kOver) == 0;
}

/// False: it is over.
bool ThreadPool::enter(uint64_t& seen) {
  uint64_t round = round_.load();
  do {
    if ((round & kOver) != 0) return false;
  } while (!round_.compare_exchange_weak(round, round + 1));
  seen = round & kNumber;
  return true;
}

void ThreadPool::work(int thread) {
  uint64_t seen = 0;
  while (true) {
    int spins = 0;
    while (!news(seen) && spins++ < kSpins) pause();
    if (!news(seen)) {
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1);
      const uint64_t last = round_.load() & kNumber;
      // Who wakes too late for a round spins before the next one: rounds come by the dozen.
      wake_.wait(lock, [&] { return news(seen) || (round_.load() & kNumber) != last || stop_.load(); });
      sleeping_.fetch_sub(1);
    }
    if (stop_.load()) return;
    if (!enter(seen)) continue;
    drain(thread);
    round_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace mipha
