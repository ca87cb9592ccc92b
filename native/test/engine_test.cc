#include "engine/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <future>
#include <thread>

#include "engine/live_counts.h"
#include "test/support/automaton.h"
#include "test/support/toy_backend.h"

namespace mipha {
namespace {

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
  /// Waits until the worker has given everything back; its sequences are the prefix, the empty one and `kept`.
  void expect_sequences(int kept) {
    ask(question({1}, 1)).value();  // two rounds: what ended before the first is given back by the second
    ask(question({1}, 1)).value();
    converse(-1).value();  // drained after give_back
    EXPECT_EQ(world.live_sequences.load(), 2 + kept + 1);
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

AskJob with(AskJob job, int priority, Clock::time_point deadline = Clock::time_point::max()) {
  job.options = {priority, deadline};
  return job;
}

// ---- loading

TEST_F(EngineTest, LoadsWithProgressAndComputesThePrefixOnce) {
  options.prefix = {1, 2, 3};
  std::vector<std::string> stages;
  std::promise<Result<EngineStatus>> loaded;
  engine = Engine::start(
      [this](const Progress& progress) {
        progress("weights", 0.5);
        return std::make_unique<ToyBackend>(world);
      },
      options, [&](const char* stage, double fraction) { stages.push_back(stage + std::to_string(static_cast<int>(fraction * 100))); },
      [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  const Result<EngineStatus> result = loaded.get_future().get();
  ASSERT_EQ(result.error, nullptr);
  EXPECT_EQ(result.value.backend, "toy");
  EXPECT_EQ(result.value.memory.total(), 7);
  EXPECT_EQ(stages, (std::vector<std::string>{"weights50", "prefix0", "prefix100"}));
  EXPECT_EQ(world.log(), (std::vector<std::string>{"append 3"}));
}

TEST_F(EngineTest, FailedLoadIsReportedAndFailsWhatWasAskedMeanwhile) {
  std::promise<void> asked;
  std::promise<Result<EngineStatus>> loaded;
  engine = Engine::start(
      [&](const Progress&) -> std::unique_ptr<Backend> {
        asked.get_future().wait();
        throw Error(Code::kModelFormat, "bad header");
      },
      options, {}, [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  auto early = ask(question({1}));
  asked.set_value();
  EXPECT_EQ(loaded.get_future().get().error->code, Code::kModelFormat);
  EXPECT_EQ(early.error(), Code::kModelFormat);
  EXPECT_EQ(ask(question({1})).error(), Code::kModelFormat);
}

TEST_F(EngineTest, ForeignExceptionsBecomeInternalErrors) {
  std::promise<Result<EngineStatus>> loaded;
  engine = Engine::start([&](const Progress&) -> std::unique_ptr<Backend> { throw 42; }, options, {},
                         [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  EXPECT_EQ(loaded.get_future().get().error->code, Code::kInternal);
}

TEST_F(EngineTest, StoppedWhileLoadingGivesUpAtTheNextProgress) {
  std::promise<void> loading, stopped;
  std::promise<Result<EngineStatus>> loaded;
  engine = Engine::start(
      [&](const Progress& progress) {
        loading.set_value();
        stopped.get_future().wait();
        progress("weights", 0.5);
        ADD_FAILURE() << "went on loading";
        return std::make_unique<ToyBackend>(world);
      },
      options, {}, [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  loading.get_future().wait();
  engine->stop({});
  stopped.set_value();
  EXPECT_EQ(loaded.get_future().get().error->code, Code::kDisposed);
}

TEST_F(EngineTest, VocabularyAndPrefixMustFitTheModel) {
  options.prefix = {kToyVocab};
  std::promise<Result<EngineStatus>> loaded;
  engine = Engine::start([this](const Progress&) { return std::make_unique<ToyBackend>(world); }, options, {},
                         [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  EXPECT_EQ(loaded.get_future().get().error->code, Code::kOption);
}

// ---- answers

TEST_F(EngineTest, AnswersFromAllRows) {
  options.prefix = {1, 2, 3};
  start();
  const LookOutcome view = look(5, {1, 2, 3}).value();
  EXPECT_EQ(view.tokens, 3 + kToyImageTokens);
  EXPECT_EQ(view.preprocess_ms, 1);
  EXPECT_EQ(view.vision_ms, 2);
  std::vector<int> rows = {1, 2, 3};
  for (const int row : image_rows(5)) rows.push_back(row);
  rows.insert(rows.end(), {7, 8});
  const AskOutcome answer = ask(question({7, 8}, 5, view.view)).value();
  EXPECT_EQ(answer.ids, expected(rows, 5));
  EXPECT_EQ(answer.finish, Finish::kLength);
  EXPECT_EQ(answer.prompt_tokens, 2);
  EXPECT_EQ(answer.reused_tokens, 3 + kToyImageTokens);
  EXPECT_EQ(answer.margins.size(), 5u);
}

TEST_F(EngineTest, EndsAtTheEndTokenWithoutKeepingIt) {
  world.next = [](const std::vector<int>& rows) { return rows.size() < 5 ? 9 : 0; };
  start();
  std::vector<int32_t> told;
  const AskOutcome answer = ask(question({1, 2, 3}, 100), [&](int32_t id) { told.push_back(id); }).value();
  EXPECT_EQ(answer.finish, Finish::kEos);
  EXPECT_EQ(answer.ids, (std::vector<int32_t>{9, 9}));
  EXPECT_EQ(told, answer.ids);
}

TEST_F(EngineTest, ConstraintDecidesEarly) {
  world.next = [](const std::vector<int>&) { return 'N' - 'A'; };
  start();
  AskJob job = question({1}, 100);
  job.constraint = std::make_shared<Constraint>(testing::choice({{"YES"}, {"NO"}}));
  const AskOutcome answer = ask(job).value();
  EXPECT_EQ(answer.finish, Finish::kStop);
  EXPECT_EQ(answer.ids, (std::vector<int32_t>{'N' - 'A'}));
  EXPECT_NEAR(answer.probability, 1 / (1 + std::exp(-5.0)), 1e-6);
  EXPECT_EQ(count("step 1"), 0);
}

TEST_F(EngineTest, SamplingRepeatsWithItsSeed) {
  start();
  AskJob job = question({1}, 30);
  job.sampling = {5, 0.9f, 77};
  const AskOutcome first = ask(job).value(), second = ask(job).value();
  EXPECT_EQ(first.ids, second.ids);
  job.sampling.seed = 78;
  EXPECT_NE(ask(job).value().ids, first.ids);
}

// ---- reuse

TEST_F(EngineTest, TextOnlyReusesThePrefixAndFeedsAtLeastOneId) {
  options.prefix = {1, 2, 3, 4};
  start();
  AskOutcome answer = ask(question({1, 2, 9, 9})).value();
  EXPECT_EQ(answer.reused_tokens, 2);
  EXPECT_EQ(answer.prompt_tokens, 2);
  EXPECT_EQ(answer.ids, expected({1, 2, 9, 9}, 4));
  answer = ask(question({1, 2, 3})).value();
  EXPECT_EQ(answer.reused_tokens, 2);
  EXPECT_EQ(answer.prompt_tokens, 1);
  EXPECT_EQ(answer.ids, expected({1, 2, 3}, 4));
}

TEST_F(EngineTest, LookReusesAsMuchOfThePrefixAsMatches) {
  options.prefix = {1, 2, 3, 4};
  start();
  const LookOutcome same = look(1, {1, 2, 3, 4}).value();
  const LookOutcome other = look(2, {1, 2, 8}).value();
  EXPECT_EQ(count("append " + std::to_string(kToyImageTokens)), 1);
  EXPECT_EQ(count("append " + std::to_string(1 + kToyImageTokens)), 1);
  std::vector<int> rows = {1, 2, 8};
  for (const int row : image_rows(2)) rows.push_back(row);
  rows.push_back(5);
  EXPECT_EQ(ask(question({5}, 4, other.view)).value().ids, expected(rows, 4));
  EXPECT_NE(same.view, other.view);
}

TEST_F(EngineTest, ConversationKeepsItsRows) {
  start();
  const int view = look(3).value().view;
  const int conversation = converse(view).value();
  AskJob job = question({1, 2}, 3);
  job.conversation = conversation;
  const AskOutcome first = ask(job).value();
  EXPECT_EQ(first.reused_tokens, kToyImageTokens);

  // The whole text so far and a new turn: only the last token of the answer (never fed) and the turn are new.
  job.ids = {1, 2};
  job.ids.insert(job.ids.end(), first.ids.begin(), first.ids.end());
  job.ids.insert(job.ids.end(), {7, 8});
  const AskOutcome second = ask(job).value();
  EXPECT_EQ(second.reused_tokens, kToyImageTokens + 2 + 2);
  EXPECT_EQ(second.prompt_tokens, 3);
  std::vector<int> rows = image_rows(3);
  rows.insert(rows.end(), job.ids.begin(), job.ids.end());
  EXPECT_EQ(second.ids, expected(rows, 3));

  // Another history: what does not match is dropped.
  job.ids = {1, 30, 31};
  const AskOutcome third = ask(job).value();
  EXPECT_EQ(third.reused_tokens, kToyImageTokens + 1);
  rows = image_rows(3);
  rows.insert(rows.end(), {1, 30, 31});
  EXPECT_EQ(third.ids, expected(rows, 3));
}

TEST_F(EngineTest, TextConversationBeginsWithThePrefix) {
  options.prefix = {1, 2, 3};
  start();
  AskJob job = question({1, 2, 3, 4});
  job.conversation = converse(-1).value();
  const AskOutcome answer = ask(job).value();
  EXPECT_EQ(answer.reused_tokens, 3);
  EXPECT_EQ(answer.ids, expected({1, 2, 3, 4}, 4));
}

TEST_F(EngineTest, ConversationSurvivesCancellation) {
  start();
  AskJob job = question({1, 2}, 1000000);
  job.conversation = converse(-1).value();
  std::promise<void> some;
  int tokens = 0;
  auto running = ask(job, [&](int32_t) {
    if (++tokens == 5) some.set_value();
  });
  some.get_future().wait();
  engine->cancel(running.id);
  const AskOutcome cut = running.value();
  EXPECT_EQ(cut.finish, Finish::kCancelled);
  EXPECT_EQ(cut.ids, expected({1, 2}, static_cast<int>(cut.ids.size())));
  job.ids = {1, 2, cut.ids[0], 50};
  job.max_tokens = 3;
  const AskOutcome next = ask(job).value();
  EXPECT_EQ(next.reused_tokens, 3);
  EXPECT_EQ(next.ids, expected({1, 2, cut.ids[0], 50}, 3));
}

TEST_F(EngineTest, SecondQuestionOnABusyConversationIsRefused) {
  start();
  AskJob job = question({1, 2}, 1000000);
  job.conversation = converse(-1).value();
  auto running = ask(job);
  EXPECT_EQ(ask(job).error(), Code::kBusy);
  engine->cancel(running.id);
  EXPECT_EQ(running.value().finish, Finish::kCancelled);
  job.max_tokens = 2;
  EXPECT_EQ(ask(job).value().finish, Finish::kLength);
}

// ---- handles

TEST_F(EngineTest, UnknownHandlesAreDisposed) {
  start();
  EXPECT_EQ(ask(question({1}, 4, 99)).error(), Code::kDisposed);
  EXPECT_EQ(converse(99).error(), Code::kDisposed);
  AskJob job = question({1});
  job.conversation = 99;
  EXPECT_EQ(ask(job).error(), Code::kDisposed);
  engine->release_view(99);
  engine->release_conversation(99);

  const int view = look().value().view;
  engine->release_view(view);
  engine->release_view(view);
  EXPECT_EQ(engine->status().views, 0);
  EXPECT_EQ(ask(question({1}, 4, view)).error(), Code::kDisposed);
  expect_sequences(0);
}

TEST_F(EngineTest, ReleasedViewAnswersWhatWasAskedBefore) {
  start();
  const int view = look(4).value().view;
  auto blocker = occupy("append");
  auto waiting = ask(question({5}, 3, view));
  engine->release_view(view);
  auto late = ask(question({5}, 3, view));
  gate.open();
  std::vector<int> rows = image_rows(4);
  rows.push_back(5);
  EXPECT_EQ(waiting.value().ids, expected(rows, 3));
  EXPECT_EQ(late.error(), Code::kDisposed);
  engine->cancel(blocker.id);
  blocker.value();
  expect_sequences(0);
}

TEST_F(EngineTest, CountsHandlesAndJobs) {
  const int views = live_counts().views, engines = live_counts().engines;
  start();
  const int view = look().value().view;
  const int conversation = converse(view).value();
  auto running = occupy("step");
  ask(question({1}));
  EngineStatus status = engine->status();
  EXPECT_EQ(status.views, 1);
  EXPECT_EQ(status.conversations, 1);
  EXPECT_EQ(status.active, 1);
  EXPECT_EQ(status.queued, 1);
  EXPECT_EQ(live_counts().views, views + 1);
  EXPECT_EQ(live_counts().engines, engines + 1);
  engine->release_conversation(conversation);
  EXPECT_EQ(engine->status().conversations, 0);
  gate.open();
  engine.reset();
  EXPECT_EQ(live_counts().views, views);
  EXPECT_EQ(live_counts().engines, engines);
  EXPECT_EQ(live_counts().conversations, 0);
  EXPECT_EQ(live_counts().jobs, 0);
}

// ---- order

TEST_F(EngineTest, PriorityThenDeadlineThenArrival) {
  start();
  auto blocker = occupy("append");
  const Clock::time_point soon = Clock::now() + std::chrono::hours(1), later = soon + std::chrono::hours(1);
  std::vector<Started<AskOutcome>> asks;
  asks.push_back(ask(with(question({1}, 1), 0)));         // 1
  asks.push_back(ask(with(question({2}, 1), 0)));         // 2
  asks.push_back(ask(with(question({3}, 1), 0, later)));  // 3
  asks.push_back(ask(with(question({4}, 1), 0, soon)));   // 4
  asks.push_back(ask(with(question({5}, 1), 5)));         // 5
  asks.push_back(ask(with(question({6}, 1), 5, later)));  // 6
  engine->cancel(blocker.id);
  gate.open();
  for (auto& one : asks) one.value();
  EXPECT_EQ(finished, (std::vector<int>{0, 6, 5, 4, 3, 1, 2}));
}

TEST_F(EngineTest, EightAnswersShareAStepAndTheRestWait) {
  start();
  auto blocker = occupy("append");
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 11; ++i) asks.push_back(ask(question({i + 1, 40}, 6)));
  engine->cancel(blocker.id);
  gate.open();
  for (int i = 0; i < 11; ++i) EXPECT_EQ(asks[static_cast<size_t>(i)].value().ids, expected({i + 1, 40}, 6));
  EXPECT_EQ(most_in_one_step(), Backend::kMaxBatch);
  EXPECT_EQ(count("step 8"), 5);  // all eight were prefilled before the first step
}

TEST_F(EngineTest, LongPrefillLetsOthersDecodeInBetween) {
  start();
  std::promise<void> running;
  bool told = false;
  auto steady = ask(question({1}, 1000000), [&](int32_t) {
    if (!std::exchange(told, true)) running.set_value();
  });
  running.get_future().wait();
  const AskOutcome answer = ask(question(std::vector<int32_t>(1000, 7), 1)).value();
  engine->cancel(steady.id);
  steady.value();
  EXPECT_EQ(answer.ids, expected(std::vector<int>(1000, 7), 1));
  const auto log = world.log();
  int chunks = 0;
  for (size_t i = 0; i + 1 < log.size(); ++i) {
    if (log[i] == "append 256") {
      ++chunks;
      EXPECT_EQ(log[i + 1].rfind("step", 0), 0u) << "no step after chunk " << chunks;
    }
  }
  EXPECT_EQ(chunks, 3);
  EXPECT_EQ(count("append 232"), 1);
}

TEST_F(EngineTest, PrefillInOnePieceWhenNobodyWaits) {
  start();
  ask(question(std::vector<int32_t>(1000, 7), 1)).value();
  EXPECT_EQ(world.log(), (std::vector<std::string>{"append 1000"}));
}

TEST_F(EngineTest, PicturesAreNotMixedUp) {
  start();
  std::vector<Started<LookOutcome>> looks;
  for (int picture = 1; picture <= 5; ++picture) looks.push_back(look(static_cast<uint8_t>(picture), {}, {picture, Clock::time_point::max()}));
  for (int picture = 1; picture <= 5; ++picture) {
    std::vector<int> rows = image_rows(picture);
    rows.push_back(9);
    EXPECT_EQ(ask(question({9}, 2, looks[static_cast<size_t>(picture - 1)].value().view)).value().ids, expected(rows, 2));
  }
}

// ---- cancellation and deadlines

TEST_F(EngineTest, CancelInTheQueueSettlesWhileAnotherIsAtWork) {
  start();
  auto blocker = occupy("append");
  auto waiting = ask(question({1}));
  auto waiting_look = look();
  engine->cancel(waiting.id);
  engine->cancel(waiting_look.id);
  gate.step();  // one layer of the blocker
  EXPECT_EQ(waiting.value().finish, Finish::kCancelled);
  EXPECT_TRUE(waiting_look.value().cancelled);
  EXPECT_FALSE(blocker.done());
  engine->cancel(blocker.id);
  gate.open();
  EXPECT_EQ(blocker.value().finish, Finish::kCancelled);
  EXPECT_EQ(count("append 2"), 1);
  expect_sequences(0);
}

TEST_F(EngineTest, CancelInPrefillIsSeenBeforeTheNextLayer) {
  start();
  auto running = occupy("append");
  engine->cancel(running.id);
  gate.step();
  const AskOutcome outcome = running.value();
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_TRUE(outcome.ids.empty());
  gate.open();
  expect_sequences(0);
}

TEST_F(EngineTest, CancelledLookLeavesNothing) {
  start();
  for (const char* where : {"encode", "append"}) {
    gate.close(where);
    auto started = look();
    gate.await_visitor();
    engine->cancel(started.id);
    gate.open();
    const LookOutcome outcome = started.value();
    EXPECT_TRUE(outcome.cancelled) << where;
    EXPECT_EQ(outcome.view, -1);
    EXPECT_EQ(engine->status().views, 0);
    world.write("round");
  }
  expect_sequences(0);
}

TEST_F(EngineTest, CancelWhileDecodingKeepsThePartialAnswer) {
  start();
  std::promise<void> some;
  int tokens = 0;
  auto running = ask(question({1}, 1000000), [&](int32_t) {
    if (++tokens == 3) some.set_value();
  });
  some.get_future().wait();
  engine->cancel(running.id);
  const AskOutcome outcome = running.value();
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_GE(outcome.ids.size(), 3u);
  EXPECT_EQ(outcome.ids, expected({1}, static_cast<int>(outcome.ids.size())));
  engine->cancel(running.id);  // finished: ignored
  engine->cancel(123456);
  expect_sequences(0);
}

TEST_F(EngineTest, PassedDeadlinesEndInTheQueueAndAtWork) {
  start();
  auto blocker = occupy("append");
  const Clock::time_point past = Clock::now() - std::chrono::seconds(1);
  auto waiting = ask(with(question({1}), 9, past));
  auto waiting_look = look(1, {}, {9, past});
  gate.step();
  EXPECT_EQ(waiting.value().finish, Finish::kCancelled);
  EXPECT_TRUE(waiting_look.value().cancelled);
  engine->cancel(blocker.id);
  gate.open();
  blocker.value();

  auto endless = ask(with(question({1}, 1000000), 0, Clock::now() + std::chrono::milliseconds(20)));
  const AskOutcome outcome = endless.value();
  EXPECT_EQ(outcome.finish, Finish::kCancelled);
  EXPECT_LT(outcome.ids.size(), 1000000u);
  EXPECT_EQ(count("append 1"), 1);  // the expired one never ran
}

TEST_F(EngineTest, DestructionEndsEverything) {
  start();
  std::promise<void> some;
  bool told = false;
  auto decoding = ask(question({1}, 1000000), [&](int32_t) {
    if (!std::exchange(told, true)) some.set_value();
  });
  some.get_future().wait();
  std::vector<Started<AskOutcome>> rest;
  for (int i = 0; i < 20; ++i) rest.push_back(ask(question({2, 3}, 1000000)));
  auto looking = look();
  engine.reset();
  EXPECT_TRUE(decoding.done());
  EXPECT_EQ(decoding.value().finish, Finish::kCancelled);
  for (auto& one : rest) EXPECT_EQ(one.value().finish, Finish::kCancelled);
  EXPECT_TRUE(looking.done());
  looking.value();
}

TEST_F(EngineTest, StopTellsItsEndLastAndLaterJobsComeBackCancelled) {
  start();
  auto running = ask(question({1}, 1000000));
  std::promise<bool> ended;
  engine->stop([&] { ended.set_value(running.done()); });
  EXPECT_TRUE(ended.get_future().get());
  EXPECT_EQ(ask(question({1})).value().finish, Finish::kCancelled);
  EXPECT_TRUE(look().value().cancelled);
  EXPECT_EQ(converse(-1).error(), Code::kDisposed);
}

TEST_F(EngineTest, StormOfCancellationsEndsEachJobOnce) {
  start();
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 300; ++i) {
    asks.push_back(ask(question({i % kToyVocab, 3, 4}, 50)));
    if (i % 3 != 0) engine->cancel(asks[static_cast<size_t>(i * 2 / 3)].id);
  }
  for (auto& one : asks) one.value();  // a second call of a callback would throw at the promise
  EXPECT_EQ(finished.size(), 300u);
  expect_sequences(0);
  EXPECT_EQ(engine->status().queued + engine->status().active, 0);
}

// ---- space

TEST_F(EngineTest, WhatExceedsTheContextFailsAlone) {
  world.context = 50;
  start();
  auto good = ask(question({1, 2}, 10));
  auto bad = ask(question(std::vector<int32_t>(45, 3), 10));
  const Result<AskOutcome> result = bad.result.get();
  ASSERT_NE(result.error, nullptr);
  EXPECT_EQ(result.error->code, Code::kContextFull);
  EXPECT_EQ(result.error->details, (Error::Details{{"neededTokens", 54}, {"availableTokens", 50}}));
  EXPECT_EQ(good.value().ids.size(), 10u);
  EXPECT_EQ(ask(question(std::vector<int32_t>(41, 3), 10)).value().ids.size(), 10u);  // the last token is never fed
  EXPECT_EQ(look(1, std::vector<int32_t>(47, 1)).error(), Code::kContextFull);
}

TEST_F(EngineTest, WhoFindsNoRowsWaitsForThem) {
  world.cache_rows = 40;
  start();
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 12; ++i) asks.push_back(ask(question({i + 1, 2}, 15)));  // 16 rows each: two at a time
  for (int i = 0; i < 12; ++i) EXPECT_EQ(asks[static_cast<size_t>(i)].value().ids, expected({i + 1, 2}, 15));
  EXPECT_EQ(most_in_one_step(), 2);
}

TEST_F(EngineTest, WithNobodyToWaitForItIsAMemoryError) {
  world.cache_rows = 40;
  start();
  auto asked = ask(question(std::vector<int32_t>(30, 1), 20));
  const Result<AskOutcome> result = asked.result.get();
  ASSERT_NE(result.error, nullptr);
  EXPECT_EQ(result.error->code, Code::kMemory);
  ASSERT_FALSE(result.error->details.empty());
  EXPECT_EQ(result.error->details[0].first, "neededBytes");
  for (int i = 0; i < 10; ++i) look().value();
  EXPECT_EQ(look().error(), Code::kMemory);
  EXPECT_EQ(engine->status().views, 10);
}

TEST_F(EngineTest, WhenPromisedRowsRunOutTheLatestMakeRoom) {
  world.context = 60;
  world.cache_rows = 100;  // a whole context is free, so all four are admitted, but only two can grow to their length
  start();
  gate.close("append");
  auto blocker = ask(question({60, 61}, 1));
  gate.await_visitor();
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 4; ++i) asks.push_back(ask(question({i + 1, 2}, 40)));
  gate.open();
  blocker.value();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(asks[static_cast<size_t>(i)].value().ids, expected({i + 1, 2}, 40)) << i;
  for (int i = 2; i < 4; ++i) EXPECT_EQ(asks[static_cast<size_t>(i)].error(), Code::kMemory) << i;
  EXPECT_GE(most_in_one_step(), 3);
}

// ---- failures of the backend

TEST_F(EngineTest, FailingPrefillFailsItsJobOnly) {
  start();
  int calls = 0;
  world.at = [&](const std::string& where) {
    if (where == "append" && ++calls == 1) throw std::runtime_error("a stray exception");
  };
  EXPECT_EQ(ask(question({1})).error(), Code::kInternal);
  EXPECT_EQ(ask(question({1})).value().ids, expected({1}, 4));
  expect_sequences(0);
}

TEST_F(EngineTest, FailingStepFailsTheBatchAndTheEngineGoesOn) {
  start();
  int calls = 0;
  world.at = [&](const std::string& where) {
    if (where == "step" && ++calls == 2) throw Error(Code::kInternal, "broken");
  };
  EXPECT_EQ(ask(question({1}, 10)).error(), Code::kInternal);
  EXPECT_EQ(ask(question({1}, 10)).value().ids, expected({1}, 10));
  AskJob job = question({5, 6}, 10);
  job.conversation = converse(-1).value();
  calls = 0;
  EXPECT_EQ(ask(job).error(), Code::kInternal);
  EXPECT_EQ(ask(job).value().ids, expected({5, 6}, 10));
}

TEST_F(EngineTest, BadJobsAreRefused) {
  start();
  EXPECT_EQ(ask(question({})).error(), Code::kOption);
  EXPECT_EQ(ask(question({-1})).error(), Code::kOption);
  EXPECT_EQ(ask(question({kToyVocab})).error(), Code::kOption);
  EXPECT_EQ(ask(question({1}, 0)).error(), Code::kOption);
  AskJob job = question({1});
  job.stop_ids = {kToyVocab};
  EXPECT_EQ(ask(job).error(), Code::kOption);
  job = question({1});
  job.constraint = std::make_shared<Constraint>();
  EXPECT_EQ(ask(job).error(), Code::kOption);
  EXPECT_EQ(look(1, {kToyVocab}).error(), Code::kOption);
  EXPECT_EQ(ask(question({1})).value().ids.size(), 4u);
}

TEST_F(EngineTest, SeveralEnginesWorkSideBySide) {
  start();
  ToyWorld other_world;
  std::promise<Result<EngineStatus>> loaded;
  const auto other = Engine::start([&](const Progress&) { return std::make_unique<ToyBackend>(other_world); }, options, {},
                                   [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
  loaded.get_future().wait();
  auto blocker = occupy("step");
  std::promise<Result<AskOutcome>> answered;
  other->ask(question({1, 2}), {}, [&](Result<AskOutcome> result) { answered.set_value(std::move(result)); });
  EXPECT_EQ(answered.get_future().get().value.ids, expected({1, 2}, 4));
  gate.open();
}

}  // namespace
}  // namespace mipha
