// Loading, answers, reuse of rows, handles.
#include "engine/constraint.h"
#include "test/support/engine_fixture.h"

namespace mipha {
namespace {

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
  job.constraint = checked(testing::choice({{"YES"}, {"NO"}}));
  const AskOutcome answer = ask(job).value();
  EXPECT_EQ(answer.finish, Finish::kStop);
  EXPECT_EQ(answer.ids, (std::vector<int32_t>{'N' - 'A'}));
  EXPECT_NEAR(answer.probability, 1 / (1 + std::exp(-5.0)), 1e-6);
  EXPECT_EQ(count("step 1"), 0);
}

TEST_F(EngineTest, ABackendThatChoosesIsAskedAndItsChoiceTaken) {
  std::vector<std::vector<int32_t>> offered;
  world.choose = [&](const std::vector<int>& rows, const Chooser& chooser) {
    offered.push_back(*chooser.candidates);
    return rows.size() < 6 ? Choice{static_cast<int32_t>(20 + rows.size()), 0.5f} : Choice{0, 0.25f};
  };
  start();
  const AskOutcome answer = ask(question({1, 2, 3}, 100)).value();
  EXPECT_EQ(answer.finish, Finish::kEos);
  // The first token is of the logits of the prefill.
  EXPECT_EQ(answer.ids, (std::vector<int32_t>{world.next({1, 2, 3}), 24, 25}));
  EXPECT_EQ(answer.margins, (std::vector<float>{5, 0.5f, 0.5f, 0.25f}));
  EXPECT_EQ(count("choose 1"), 3);
  std::vector<int32_t> all;
  for (int id = 1; id < kToyVocab; ++id) all.push_back(id);
  all.push_back(0);  // the end
  ASSERT_EQ(offered.size(), 3u);
  for (const std::vector<int32_t>& candidates : offered) EXPECT_EQ(candidates, all);
}

TEST_F(EngineTest, WhoNeedsLogitsGetsThemBesideOneThatIsChosenFor) {
  world.next = [](const std::vector<int>&) { return 5; };
  world.choose = [](const std::vector<int>&, const Chooser& chooser) { return chooser.candidates ? Choice{9, 1} : Choice{Choice::kByCaller}; };
  start();
  auto blocker = occupy("append");
  AskJob typed = question({1}, 3), sampled = question({2}, 3);
  typed.constraint = checked(testing::choice({{"FFFG"}, {"FFFH"}}));  // id 5 is F
  sampled.sampling = {0.01f, 1, 3};
  auto typed_answer = ask(typed), sampled_answer = ask(sampled), greedy_answer = ask(question({3}, 3));
  engine->cancel(blocker.id);
  gate.open();
  EXPECT_EQ(typed_answer.value().ids, (std::vector<int32_t>{5, 5, 5}));
  EXPECT_EQ(sampled_answer.value().ids, (std::vector<int32_t>{5, 5, 5}));
  EXPECT_EQ(greedy_answer.value().ids, (std::vector<int32_t>{5, 9, 9}));
  EXPECT_EQ(count("step 3"), 2);
  EXPECT_EQ(count("choose 1"), 2);
}

TEST_F(EngineTest, ABackendMayChooseUnderAConstraint) {
  world.next = [](const std::vector<int>&) { return 5; };
  std::vector<int> states, left;
  world.choose = [&](const std::vector<int>&, const Chooser& chooser) {
    states.push_back(chooser.state);
    left.push_back(chooser.tokens_left);
    EXPECT_EQ(*chooser.stop_ids, (std::vector<int32_t>{0}));
    return chooser.state < 3 ? Choice{5, 0.5f, chooser.state + 1, 0.5f} : Choice{7, 1, 5, 0.25f};
  };
  start();
  AskJob job = question({1}, 100);
  job.constraint = checked(testing::choice({{"FFFG"}, {"FFFH"}}));
  const AskOutcome answer = ask(job).value();
  EXPECT_EQ(answer.finish, Finish::kStop);
  EXPECT_EQ(answer.ids, (std::vector<int32_t>{5, 5, 5, 7}));
  EXPECT_EQ(answer.state, 5);
  EXPECT_NEAR(answer.probability, 0.5 * 0.5 * 0.25, 1e-9);
  EXPECT_EQ(states, (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(left, (std::vector<int>{99, 98, 97}));
}

TEST_F(EngineTest, AChoiceOfNothingIsAnErrorOfItsQuestion) {
  world.choose = [](const std::vector<int>&, const Chooser&) { return Choice{}; };
  start();
  EXPECT_EQ(ask(question({1})).error(), Code::kInternal);
  world.choose = {};
  EXPECT_EQ(ask(question({1})).value().ids, expected({1}, 4));
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

}  // namespace
}  // namespace mipha
