// The engine on the CUDA backend: steps that run ahead change no answer, whoever is cancelled and whoever joins in between.
#include <cstdlib>
#include <set>

#include "engine/constraint.h"
#include "test/support/cuda_ahead.h"
#include "test/support/engine_fixture.h"

namespace mipha::test {
namespace {

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

/// A view and questions on it, one after the other from inside the answers of those before.
class Conversing {
 public:
  explicit Conversing(bool ahead) {
    EngineOptions options;
    options.vocabulary = letter_words(tiny_config().language.vocab);
    options.prefix = token_ids(4);
    std::promise<Result<EngineStatus>> loaded;
    engine_ = Engine::start(
        [&](const Progress&) {
          auto backend = create_backend("cuda", one_layer(), {}, {});
          if (!ahead) backend->set_probe([](const std::string&, const float*, int, int) {});  // a probe is told every layer as it is computed
          backend_ = backend.get();
          return backend;
        },
        options, {}, [&](Result<EngineStatus> result) { loaded.set_value(std::move(result)); });
    EXPECT_EQ(loaded.get_future().get().error, nullptr);
  }

  int look() {
    const int side = tiny_config().vision.image_size;
    pixels_ = picture(side);
    LookJob job;
    job.image = {pixels_.data(), pixels_.size(), side, side, side * 3, PixelFormat::kRgb};
    std::promise<Result<LookOutcome>> done;
    engine_->look(std::move(job), [&](Result<LookOutcome> result) { done.set_value(std::move(result)); });
    return done.get_future().get().value.view;
  }
  /// `on_token(count)` after each token, on the worker thread.
  Engine::Id ask(AskJob job, std::function<void(int)> on_token = {}) {
    const size_t place = begin();
    auto tokens = std::make_shared<int>(0);
    return engine_->ask(
        std::move(job),
        [tokens, on_token](int32_t) {
          ++*tokens;
          if (on_token) on_token(*tokens);
        },
        [this, place](Result<AskOutcome> result) {
          EXPECT_EQ(result.error ? result.error->what() : std::string(), "");
          const std::lock_guard<std::mutex> lock(mutex_);
          outcomes_[place] = std::move(result.value);
          if (--open_ == 0) all_ended_.notify_all();
        });
  }
  void cancel(Engine::Id id) { engine_->cancel(id); }

  /// In the order they were asked.
  std::vector<AskOutcome> wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    all_ended_.wait(lock, [this] { return open_ == 0; });
    return {outcomes_.begin(), outcomes_.end()};
  }
  cuda::StepCounts counts() const { return cuda::step_counts(*backend_); }

 private:
  size_t begin() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++open_;
    outcomes_.emplace_back();
    return outcomes_.size() - 1;
  }

  std::mutex mutex_;
  std::condition_variable all_ended_;
  std::deque<AskOutcome> outcomes_;
  int open_ = 0;
  std::vector<uint8_t> pixels_;
  const Backend* backend_ = nullptr;
  std::unique_ptr<Engine> engine_;
};

AskJob question(int view, int first, int max_tokens) {
  AskJob job;
  job.view = view;
  job.ids = token_ids(5 + first % 4, first);
  job.max_tokens = max_tokens;
  return job;
}

/// One long answer; beside it a first that is cancelled, a second that joins then, a third under a constraint; at last the long one is cancelled and
/// a fourth takes rows that were just given back.
std::vector<AskOutcome> converse(bool ahead, cuda::StepCounts* counts) {
  Conversing talk(ahead);
  const int view = talk.look();
  AskJob typed = question(view, 31, 40);
  typed.stop_ids = {0};
  typed.constraint =
      checked(mipha::testing::choice({{"bcdbdcbdcbcdbcdb"}, {"bcdbdcbdcbcdbcdc"}, {"bcdbdcbdcbcdbcdd"}}));  // known with the last letter
  std::atomic<Engine::Id> long_one{0};
  Engine::Id first = 0;
  long_one = talk.ask(question(view, 3, 120), [&](int tokens) {
    if (tokens == 1) first = talk.ask(question(view, 11, 120));
    if (tokens == 9) talk.cancel(first);
    if (tokens == 12) talk.ask(question(view, 17, 25));
    if (tokens == 21) talk.ask(typed);
    if (tokens == 48) {
      while (long_one == 0) std::this_thread::yield();
      talk.cancel(long_one);
      talk.ask(question(view, 23, 30));
    }
  });
  std::vector<AskOutcome> outcomes = talk.wait();
  *counts = talk.counts();
  return outcomes;
}

TEST(CudaEngine, RunningAheadChangesNoAnswer) {
  cuda::StepCounts counts{}, none{};
  const std::vector<AskOutcome> with = converse(true, &counts), without = converse(false, &none);
  EXPECT_EQ(none.continued, 0);
  EXPECT_GT(counts.ahead, 20);
  EXPECT_GT(counts.forgotten, 2);
  ASSERT_EQ(with.size(), 5u);
  ASSERT_EQ(without.size(), 5u);
  std::set<std::vector<int32_t>> answers;
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(with[i].finish, without[i].finish) << i;
    EXPECT_EQ(with[i].ids, without[i].ids) << i;
    EXPECT_EQ(with[i].margins, without[i].margins) << i;
    EXPECT_EQ(with[i].state, without[i].state) << i;
    EXPECT_EQ(with[i].probability, without[i].probability) << i;
    EXPECT_GT(std::set<int32_t>(with[i].ids.begin(), with[i].ids.end()).size(), 2u) << i << ": tokens that are all alike prove nothing";
    answers.insert({with[i].ids.begin(), with[i].ids.begin() + std::min<std::ptrdiff_t>(5, static_cast<std::ptrdiff_t>(with[i].ids.size()))});
  }
  EXPECT_EQ(answers.size(), 5u);
  EXPECT_EQ(with[0].finish, Finish::kCancelled);
  EXPECT_EQ(with[1].finish, Finish::kCancelled);
  EXPECT_EQ(with[2].ids.size(), 25u);
  EXPECT_GE(with[3].state, 0);
}

}  // namespace
}  // namespace mipha::test
