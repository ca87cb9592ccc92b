// The thread pool: every index once, whoever comes late, breaks off or does not come.
#include "core/thread_pool.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace mipha {
namespace {

TEST(ThreadPool, CallsEveryIndexOnce) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    ASSERT_EQ(pool.threads(), threads);
    for (int count = 0; count < 40; ++count) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      pool.each(count, [&](int index, int) { calls[static_cast<size_t>(index)].fetch_add(1); });
      for (const auto& call : calls) ASSERT_EQ(call.load(), 1) << threads << " threads, " << count << " indices";
    }
  }
}

TEST(ThreadPool, NeverUsesAThreadNumberTwiceAtOnce) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    std::vector<std::atomic<int>> inside(static_cast<size_t>(threads));
    std::atomic<int> faults{0};
    for (int round = 0; round < 50; ++round) {
      pool.each(64, [&](int, int thread) {
        if (thread < 0 || thread >= threads || inside[static_cast<size_t>(thread)].fetch_add(1) != 0) faults.fetch_add(1);
        std::this_thread::yield();
        inside[static_cast<size_t>(thread)].fetch_sub(1);
      });
    }
    EXPECT_EQ(faults.load(), 0);
  }
}

TEST(ThreadPool, EachThreadBeginsWithNeighboursOfItsOwn) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    constexpr int kCount = 50;
    std::vector<int> firsts(static_cast<size_t>(threads), -1);
    std::atomic<int> here{0};
    pool.each(kCount, [&](int index, int thread) {
      int& first = firsts[static_cast<size_t>(thread)];
      if (first >= 0) return;
      first = index;
      here.fetch_add(1);
      while (here.load() < threads) std::this_thread::yield();  // until everybody has come
    });
    for (int thread = 0; thread < threads; ++thread)
      EXPECT_EQ(firsts[static_cast<size_t>(thread)], thread * kCount / threads) << threads << " threads";
  }
}

TEST(ThreadPool, OthersDoWhatASlowThreadDoesNotComeTo) {
  for (const int threads : {2, 3, 8}) {
    ThreadPool pool(threads);
    constexpr int kCount = 50;
    for (const int slow : {0, kCount / threads, kCount - 1}) {
      std::atomic<int> done{0};
      pool.each(kCount, [&](int index, int) {
        while (index == slow && done.load() < kCount - 1) std::this_thread::yield();
        done.fetch_add(1);
      });
      EXPECT_EQ(done.load(), kCount);
    }
  }
}

TEST(ThreadPool, KeepsItsHeadOverManyRounds) {
  ThreadPool pool(4);
  std::vector<int64_t> sums(257);
  for (int round = 1; round <= 4000; ++round) {
    const int count = round % 257;
    pool.each(count, [&](int index, int) { sums[static_cast<size_t>(index)] += round; });
    if (round % 1000 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));  // long enough for the workers to fall asleep
  }
  int64_t expected = 0;
  for (int round = 1; round <= 4000; ++round) expected += static_cast<int64_t>(round) * (round % 257);
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), expected);
}

TEST(ThreadPool, WritesAreSeenAfterTheLoop) {
  ThreadPool pool(3);
  std::vector<int> values(1000);
  for (int round = 0; round < 200; ++round) {
    pool.each(1000, [&](int index, int) { values[static_cast<size_t>(index)] = index + round; });
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], i + round);
  }
}

TEST(ThreadPool, SeveralLiveSideBySideAndInsideOneAnother) {
  ThreadPool outer(3);
  std::atomic<int> calls{0};
  outer.each(12, [&](int, int) {
    ThreadPool inner(2);
    for (int round = 0; round < 5; ++round) inner.each(10, [&](int, int) { calls.fetch_add(1); });
  });
  EXPECT_EQ(calls.load(), 12 * 5 * 10);
}

TEST(ThreadPool, AnExceptionOfTheBodyReachesTheCallerAndThePoolGoesOn) {
  for (int threads = 1; threads <= 8; ++threads) {
    ThreadPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::atomic<int> inside{0}, begun{0};
      try {
        pool.each(1000, [&](int index, int) {
          inside.fetch_add(1);
          begun.fetch_add(1);
          const bool fails = index >= 20 && index % 7 == round % 7;
          inside.fetch_sub(1);
          if (fails) throw std::runtime_error("index " + std::to_string(index));
        });
        FAIL() << "nothing was thrown";
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(std::string(error.what()).rfind("index ", 0), 0u);
      }
      EXPECT_EQ(inside.load(), 0) << "somebody still works for a caller that has gone on";
      EXPECT_LT(begun.load(), 1000) << "the rest is left out";
      std::atomic<int> calls{0};
      pool.each(50, [&](int, int) { calls.fetch_add(1); });
      ASSERT_EQ(calls.load(), 50);
    }
  }
}

/// What a thread that gets this signal does: it is not there until it may be.
int held_pipe[2];
std::atomic<bool> is_held{false};
void hold(int) {
  is_held = true;
  char byte = 0;
  if (read(held_pipe[0], &byte, 1) == 1) is_held = false;
}

/// The two threads of the pool meet in a loop, so that the worker is known.
pthread_t worker_of(ThreadPool& pool) {
  pthread_t worker = pthread_self();
  std::atomic<int> here{0};
  pool.each(2, [&](int, int thread) {
    if (thread == 1) worker = pthread_self();
    ++here;
    while (here < 2) std::this_thread::yield();
  });
  return worker;
}

TEST(ThreadPool, ALoopDoesNotWaitForAWorkerWhoseCoreOthersHave) {
  ASSERT_EQ(pipe(held_pipe), 0);
  ASSERT_NE(std::signal(SIGUSR1, hold), SIG_ERR);
  ThreadPool pool(2);
  const pthread_t worker = worker_of(pool);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // it sleeps, and holds no lock
  ASSERT_EQ(pthread_kill(worker, SIGUSR1), 0);
  while (!is_held) std::this_thread::yield();
  std::atomic<int> loops{0};
  std::thread caller([&] {
    for (; loops < 100; ++loops) pool.each(10, [&](int, int thread) { EXPECT_EQ(thread, 0); });
  });
  for (int waited = 0; loops < 100 && waited < 1000; ++waited) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(loops, 100);
  EXPECT_EQ(write(held_pipe[1], "x", 1), 1);
  caller.join();
  EXPECT_NE(worker_of(pool), pthread_self());  // and is back
  close(held_pipe[0]);
  close(held_pipe[1]);
}

TEST(ThreadPool, EndsWithoutEverHavingWorked) {
  for (int round = 0; round < 100; ++round) ThreadPool pool(1 + round % 8);
}

}  // namespace
}  // namespace mipha
