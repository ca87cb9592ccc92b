// Order of jobs, batches, cancellation and deadlines.
#include "test/support/engine_fixture.h"

namespace mipha {
namespace {

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

TEST_F(EngineTest, QuestionsOfOnePriorityAreAppendedTogether) {
  start();
  gate.close("append");
  Started<AskOutcome> blocker = ask(question({1}, 1));
  gate.await_visitor();
  std::vector<Started<AskOutcome>> asks;
  for (int i = 0; i < 5; ++i) asks.push_back(ask(with(question(std::vector<int32_t>(static_cast<size_t>(2 + i), 3 + i), 1), i == 4 ? 1 : 0)));
  gate.open();
  for (int i = 0; i < 5; ++i) {
    const AskOutcome outcome = asks[static_cast<size_t>(i)].value();
    EXPECT_EQ(outcome.prompt_tokens, 2 + i);
    EXPECT_EQ(outcome.ids, std::vector<int32_t>{world.next(std::vector<int>(static_cast<size_t>(2 + i), 3 + i))});
  }
  EXPECT_EQ(world.log(), (std::vector<std::string>{"append 1", "append 6", "append 2+3+4+5"}));
}

TEST_F(EngineTest, WhatIsGatheredBeginsTogether) {
  start();
  engine->gather();
  Started<AskOutcome> first = ask(question({5, 6}, 1));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the worker has nothing else to do
  EXPECT_FALSE(first.done());
  Started<AskOutcome> second = ask(question({7, 8, 9}, 1)), dropped = ask(question({4}, 1));
  engine->cancel(dropped.id);
  engine->hand_over();
  EXPECT_EQ(first.value().ids, std::vector<int32_t>{world.next({5, 6})});
  EXPECT_EQ(second.value().ids, std::vector<int32_t>{world.next({7, 8, 9})});
  EXPECT_EQ(dropped.value().finish, Finish::kCancelled);
  EXPECT_EQ(world.log(), (std::vector<std::string>{"append 2+3"}));
}

TEST_F(EngineTest, WhatIsGatheredWhenTheEngineEndsComesBack) {
  start();
  engine->gather();
  Started<AskOutcome> stopped = ask(question({5}, 1));
  std::promise<void> ended;
  engine->stop([&] { ended.set_value(); });
  ended.get_future().wait();
  engine->hand_over();
  EXPECT_EQ(stopped.value().finish, Finish::kCancelled);

  start();
  engine->gather();
  Started<AskOutcome> destroyed = ask(question({5}, 1));
  engine.reset();
  destroyed.value();  // neither forgotten nor broken
}

TEST_F(EngineTest, OneOfABatchIsCancelledAloneWhileItIsPrefilled) {
  start();
  gate.close("append");
  Started<AskOutcome> blocker = ask(question({1}, 1));
  gate.await_visitor();
  Started<AskOutcome> kept = ask(question({5, 6}, 1)), dropped = ask(question({7, 8, 9}, 1));
  for (int layer = 0; layer < testing::kToyLayers; ++layer) gate.step();
  blocker.value();
  gate.await_visitor();  // at the first layer of both
  engine->cancel(dropped.id);
  gate.step();
  EXPECT_EQ(dropped.value().finish, Finish::kCancelled);
  EXPECT_FALSE(kept.done());
  gate.open();
  EXPECT_EQ(kept.value().ids, std::vector<int32_t>{world.next({5, 6})});
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

}  // namespace
}  // namespace mipha
