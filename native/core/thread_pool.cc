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

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
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
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::drain(int thread) {
  try {
    for (int index; (index = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) call_(context_, index, thread);
  } catch (...) {
    next_.store(count_, std::memory_order_relaxed);  // nobody begins another
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadPool::run(int count, Call call, void* context) {
  if (workers_.empty() || count <= 1) {
    for (int index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  call_ = call;
  context_ = context;
  count_ = count;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  round_.fetch_add(1);  // publishes everything above
  if (sleeping_.load() > 0) {
    std::lock_guard lock(mutex_);  // a worker between its last look at round_ and its wait must not miss this
    wake_.notify_all();
  }
  drain(0);
  // Every worker must have left the round before its context goes away.
  for (int spins = 0; busy_.load(std::memory_order_acquire) > 0; ++spins) {
    if (spins < kSpins)
      pause();
    else
      std::this_thread::yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::work(int thread) {
  uint32_t seen = 0;
  while (true) {
    int spins = 0;
    while (round_.load() == seen && spins++ < kSpins) pause();
    if (round_.load() == seen) {
      std::unique_lock lock(mutex_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return round_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    if (stop_.load()) return;
    ++seen;
    drain(thread);
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace mipha
