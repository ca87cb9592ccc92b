// An engine on a toy backend, jobs as futures, and a gate that holds its worker where a test wants it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <future>
#include <thread>

#include "engine/engine.h"
#include "engine/live_counts.h"
#include "test/support/automaton.h"
#include "test/support/toy_backend.h"

namespace mipha {

using testing::kToyImageTokens;
using testing::kToyVocab;
using testing::ToyBackend;
using testing::ToyWorld;

/// Holds the worker thread at the backend's next call until it is opened.
class Gate {
 public:
  /// For ToyWorld::at.
  void pass(const std::string& where) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (where != closed_at_) return;
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return closed_at_.empty() || passes_ > 0; });
    if (passes_ > 0) --passes_;
    waiting_ = false;
  }
  void close(const std::string& where) {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_at_ = where;
  }
  void open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    closed_at_.clear();
    changed_.notify_all();
  }
  /// Lets one call through.
  void step() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++passes_;
    changed_.notify_all();
  }
  void await_visitor() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ && passes_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string closed_at_;
  int passes_ = 0;
  bool waiting_ = false;
};

template <typename Outcome>
struct Started {
  Engine::Id id = 0;
  std::future<Result<Outcome>> result;

  Outcome value() {
    Result<Outcome> got = result.get();
    if (got.error) ADD_FAILURE() << code_name(got.error->code) << ": " << got.error->what();
    return got.value;
  }
  Code error() {
    const Result<Outcome> got = result.get();
    if (got.error) return got.error->code;
    ADD_FAILURE() << "expected an error";
    return Code::kInternal;
  }
  bool done() const { return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    world.at = [this](const std::string& where) { gate.pass(where); };
    for (int id = 0; id < kToyVocab; ++id) options.vocabulary.push_back({static_cast<uint8_t>('A' + id)});
    options.vocabulary[0] = {};  // the end
  }
  ~EngineTest() override {
    gate.open();
    engine.reset();
  }

  void start() {
    std::promise<Result<EngineStatus>> loaded;
    engine = Engine::start([this](const Progress&) { return std::make_unique<ToyBackend>(world); }, options, {},
                           [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
    const Result<EngineStatus> result = loaded.get_future().get();
    ASSERT_EQ(result.error, nullptr);
    world.entries.clear();
  }

  Started<LookOutcome> look(uint8_t picture = 1, std::vector<int32_t> prefix = {}, JobOptions job_options = {}) {
    LookJob job;
    pictures_.push_back(std::make_unique<std::vector<uint8_t>>(12, picture));
    job.image = {pictures_.back()->data(), 12, 2, 2, 6, PixelFormat::kRgb};
    job.prefix = std::move(prefix);
    job.options = job_options;
    auto promise = std::make_shared<std::promise<Result<LookOutcome>>>();
    Started<LookOutcome> started{0, promise->get_future()};
    started.id = engine->look(std::move(job), [promise](Result<LookOutcome> result) { promise->set_value(std::move(result)); });
    return started;
  }

  Started<AskOutcome> ask(AskJob job, std::function<void(int32_t)> on_token = {}) {
    auto promise = std::make_shared<std::promise<Result<AskOutcome>>>();
    Started<AskOutcome> started{0, promise->get_future()};
    const auto order = next_order_++;
    started.id = engine->ask(std::move(job), std::move(on_token), [this, promise, order](Result<AskOutcome> result) {
      {
        const std::lock_guard<std::mutex> lock(order_mutex_);
        finished.push_back(order);
      }
      promise->set_value(std::move(result));
    });
    return started;
  }
  static AskJob question(std::vector<int32_t> ids, int max_tokens = 4, int view = -1) {
    AskJob job;
    job.ids = std::move(ids);
    job.max_tokens = max_tokens;
    job.view = view;
    job.stop_ids = {0};
    return job;
  }

  Started<int> converse(int view) {
    auto promise = std::make_shared<std::promise<Result<int>>>();
    Started<int> started{0, promise->get_future()};
    started.id = engine->converse(view, [promise](Result<int> result) { promise->set_value(std::move(result)); });
    return started;
  }

  /// What the toy answers after these rows.
  std::vector<int32_t> expected(std::vector<int> rows, int count) const {
    std::vector<int32_t> ids;
    while (static_cast<int>(ids.size()) < count) {
      ids.push_back(world.next(rows));
      rows.push_back(ids.back());
    }
    return ids;
  }
  static std::vector<int> image_rows(int picture) {
    std::vector<int> rows;
    for (int i = 0; i < kToyImageTokens; ++i) rows.push_back(1000 + 10 * picture + i);
    return rows;
  }
  /// An answer occupies the worker's turn until it is cancelled, held before a layer of its prefill.
  Started<AskOutcome> occupy(const std::string& where) {
    gate.close(where);
    Started<AskOutcome> started = ask(question({60, 61}, 1000000));
    gate.await_visitor();
    return started;
  }
  int count(const std::string& entry) const {
    const auto log = world.log();
    return static_cast<int>(std::count(log.begin(), log.end(), entry));
  }
  int most_in_one_step() const {
    int most = 0;
    for (const std::string& entry : world.log()) {
      if (entry.rfind("step ", 0) == 0) most = std::max(most, std::stoi(entry.substr(5)));
    }
    return most;
  }
  /// Waits until the worker has given everything back; its sequences are the prefix and `kept`.
  void expect_sequences(int kept) {
    ask(question({1}, 1)).value();  // two rounds: what ended before the first is given back by the second
    ask(question({1}, 1)).value();
    converse(-1).value();  // drained after give_back
    EXPECT_EQ(world.live_sequences.load(), 1 + kept + 1);
  }

  ToyWorld world;
  Gate gate;
  EngineOptions options;
  std::vector<int> finished;  // asks in the order they ended
  std::unique_ptr<Engine> engine;

 private:
  std::mutex order_mutex_;
  int next_order_ = 0;
  std::vector<std::unique_ptr<std::vector<uint8_t>>> pictures_;
};

inline AskJob with(AskJob job, int priority, Clock::time_point deadline = Clock::time_point::max()) {
  job.options = {priority, deadline};
  return job;
}

}  // namespace mipha
