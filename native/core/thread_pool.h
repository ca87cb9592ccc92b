// A fixed team of threads for short parallel loops. The caller takes part; workers spin briefly before they sleep, because one decode step
// runs some two hundred loops of a few tens of microseconds. Nobody waits for a worker that has not come: where other programs have its core the
// caller does the whole loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace mipha {

class ThreadPool {
 public:
  /// threads ≥ 1, the caller included. Throws kBackend when the system refuses one.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(index, thread) for every index in [0, count); returns when all are done. Each thread begins with a run of indices of its own, in
  /// order, so that it reads and writes neighbours, and then helps others with theirs, one index at a time.
  /// `thread` is in [0, threads()) and never used twice at once: good for scratch memory. One caller at a time.
  /// An exception of the body ends the loop: indices not begun are left out, and it is thrown here once every thread has stopped.
  template <typename Body>
  void each(int count, Body&& body) {
    run(
        count, [](void* context, int index, int thread) { (*static_cast<std::remove_reference_t<Body>*>(context))(index, thread); }, &body);
  }

 private:
  using Call = void (*)(void* context, int index, int thread);
  /// Indices that one thread begins with; on a line of its own.
  struct alignas(64) Run {
    std::atomic<int> next{0};
    int end = 0;
  };
  void run(int count, Call call, void* context);
  void work(int thread);
  void end();
  void drain(int thread);
  void call_all(Run& run, int thread);
  bool enter(uint64_t& seen);
  bool news(uint64_t seen) const;

  std::vector<std::thread> workers_;
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::vector<Run> runs_;           // one a thread
  std::atomic<uint64_t> round_{0};  // its number, whether it is over, and how many workers are in it: see thread_pool.cc
  std::atomic<int> sleeping_{0};
  std::atomic<bool> stop_{false};
  std::exception_ptr failure_;  // the first of this round; mutex_
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace mipha
