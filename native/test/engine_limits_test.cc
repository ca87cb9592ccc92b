// What happens when rows run out or the backend fails.
#include "test/support/engine_fixture.h"

namespace mipha {
namespace {

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

TEST_F(EngineTest, WhoeverStartsCanFinish) {
  world.context = 60;
  world.cache_rows = 100;  // a whole context is free, but only two of four answers of 41 rows find room for all of theirs
  start();
  gate.close("append");
  auto blocker = ask(question({60, 61}, 1));
  gate.await_visitor();
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 4; ++i) asks.push_back(ask(question({i + 1, 2}, 40)));
  gate.open();
  blocker.value();
  for (int i = 0; i < 4; ++i) EXPECT_EQ(asks[static_cast<size_t>(i)].value().ids, expected({i + 1, 2}, 40)) << i;
  EXPECT_EQ(most_in_one_step(), 2);
}

TEST_F(EngineTest, AConversationGivesBackWhatItDidNotUse) {
  world.cache_rows = 50;
  start();
  const int conversation = converse(-1).value();
  AskJob turn = question({1, 2}, 40);
  turn.conversation = conversation;
  turn.stop_ids = {expected({1, 2}, 1)[0]};  // ends at once
  EXPECT_EQ(ask(turn).value().finish, Finish::kEos);
  EXPECT_EQ(ask(question({3, 4}, 40)).value().ids, expected({3, 4}, 40));
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

TEST_F(EngineTest, ADeviceThatFailedServesNobodyAnyMore) {
  for (const std::string at : {"append", "step", "encode"}) {
    start();
    bool broken = false;
    world.at = [&](const std::string& where) {
      if (where == at && std::exchange(broken, true) == false) throw Error(Code::kDevice, "fallen off the bus");
    };
    auto seen = look();
    auto asked = ask(question({1}, 10));
    EXPECT_EQ((at == "encode" ? seen.error() : asked.error()), Code::kDevice) << at;
    EXPECT_EQ(ask(question({1})).error(), Code::kDevice) << at;
    EXPECT_EQ(look().error(), Code::kDevice) << at;
    engine.reset();
  }
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
