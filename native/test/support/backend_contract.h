// What every backend of a package does, whatever computes: a file that includes this says which backends it is about, by
// INSTANTIATE_TEST_SUITE_P(…, BackendContract, testing::Values("cpu")).
#pragma once

#include <gtest/gtest.h>

#include "core/error.h"
#include "test/support/backend_layers.h"

namespace mipha::test {

class BackendContract : public testing::TestWithParam<const char*> {};

TEST_P(BackendContract, BatchOfForksEqualsEachAlone) {
  Loaded loaded(GetParam());
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const int view = backend.sequence();
  loaded.append(view, {{token_ids(30).data(), 30}, {nullptr, 9}});
  std::vector<int> forks;
  std::vector<int32_t> ids;
  std::vector<float> alone;
  for (int i = 0; i < Backend::kMaxBatch; ++i) {
    const int fork = backend.fork(view);
    loaded.append(fork, token_ids(3 + i, i));
    ids.push_back(11 * i);
    std::vector<float> logits(loaded.vocab);
    const int again = backend.fork(fork);
    backend.step(&again, &ids.back(), 1, logits.data());
    backend.release(again);
    alone.insert(alone.end(), logits.begin(), logits.end());
    forks.push_back(fork);
  }
  std::vector<float> together(alone.size());
  backend.step(forks.data(), ids.data(), static_cast<int>(forks.size()), together.data());
  EXPECT_EQ(together, alone);
}

TEST_P(BackendContract, QuestionsAppendedTogetherEqualEachAlone) {
  Loaded loaded(GetParam());
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const int view = backend.sequence();
  loaded.append(view, {{token_ids(30).data(), 30}, {nullptr, 9}});
  // Single rows and long spans side by side; 112 rows in all, more than one block of the cache.
  const int lengths[] = {1, 40, 1, 1, 33, 36};
  std::vector<std::vector<int32_t>> questions;
  for (int length : lengths) questions.push_back(token_ids(length, 3 * length + static_cast<int>(questions.size())));
  std::vector<Extension> together;
  std::vector<float> alone, next;
  for (const auto& question : questions) {
    const std::vector<float> logits = loaded.append(backend.fork(view), question);
    alone.insert(alone.end(), logits.begin(), logits.end());
    together.push_back({backend.fork(view), {{question.data(), static_cast<int>(question.size())}}});
  }
  next.resize(alone.size());
  ASSERT_TRUE(backend.append(together, next.data(), {}));
  EXPECT_EQ(next, alone);
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(backend.length(together[i].sequence), 39 + lengths[i]);
  EXPECT_FALSE(backend.append(together, nullptr, [] { return true; }));
  for (size_t i = 0; i < together.size(); ++i) EXPECT_EQ(backend.length(together[i].sequence), 39 + lengths[i]);
}

TEST_P(BackendContract, MoreRowsThanOnePassHoldsAreTheSameRows) {
  Loaded loaded(GetParam());
  Backend& backend = *loaded.backend;
  const std::vector<int32_t> a = token_ids(150), b = token_ids(150, 9), c = token_ids(33, 2);
  std::vector<float> alone;
  for (const auto* ids : {&a, &b, &c}) {
    const std::vector<float> logits = loaded.append(backend.sequence(), *ids);
    alone.insert(alone.end(), logits.begin(), logits.end());
  }
  std::vector<float> together(alone.size());
  const int x = backend.sequence(), y = backend.sequence(), z = backend.sequence();
  ASSERT_TRUE(backend.append({{x, {{a.data(), 150}}}, {y, {{b.data(), 150}}}, {z, {{c.data(), 33}}}}, together.data(), {}));
  for (int i = 0; i < 3; ++i) {  // a pass ends within the second: its tiles of attention begin elsewhere, so sums run in another order
    const std::vector<float> got(together.begin() + i * loaded.vocab, together.begin() + (i + 1) * loaded.vocab);
    const std::vector<float> want(alone.begin() + i * loaded.vocab, alone.begin() + (i + 1) * loaded.vocab);
    EXPECT_LE(relative_error(got, want), bound_after(1) / 2) << i;
  }
}

TEST_P(BackendContract, RowsThatNobodyAsksForStillLeaveTheirKeysAndValues) {
  const std::vector<int32_t> ids = token_ids(40);
  Config one_after_the_other = tiny_configs().at("dinov2, llama");
  one_after_the_other.language.head_size = one_after_the_other.language.rotary_dims = 64;  // a size that every backend has
  for (const Config& config : {tiny_config(), one_after_the_other}) {                      // attention beside the MLP, and before it
    const auto model = std::make_shared<TinyModel>(config);
    std::vector<std::vector<float>> answers, next;
    for (const bool every_row : {true, false}) {  // who looks at every layer has every row computed
      Loaded loaded(GetParam(), {}, model);
      if (every_row) loaded.backend->set_probe([](const std::string&, const float*, int, int) {});
      const int sequences[] = {loaded.backend->sequence(), loaded.backend->sequence()};
      std::vector<float>& logits = answers.emplace_back(2 * loaded.vocab);
      ASSERT_TRUE(loaded.backend->append({{sequences[0], {{ids.data(), 23}}}}, nullptr, {}));
      ASSERT_TRUE(loaded.backend->append({{sequences[0], {{ids.data() + 23, 10}}}, {sequences[1], {{ids.data() + 33, 7}}}}, logits.data(), {}));
      loaded.backend->set_probe({});
      loaded.backend->step(sequences, ids.data(), 2, next.emplace_back(2 * loaded.vocab).data());
    }
    EXPECT_LE(relative_error(answers[1], answers[0]), bound_after(1) / 2);  // attention adds in another order, and INT8 rounds its sums
    EXPECT_EQ(next[1], next[0]);
  }
}

TEST_P(BackendContract, TruncateGoesBackToTheSameAnswer) {
  Loaded loaded(GetParam());
  const int sequence = loaded.backend->sequence();
  loaded.append(sequence, token_ids(37));
  const std::vector<float> first = loaded.append(sequence, token_ids(6, 50));
  loaded.append(sequence, token_ids(20, 3));
  loaded.backend->truncate(sequence, 37);
  EXPECT_EQ(loaded.append(sequence, token_ids(6, 50)), first);
}

TEST_P(BackendContract, ChunksAndStepsEqualOnePrefill) {
  Loaded loaded(GetParam());
  Backend& backend = *loaded.backend;
  ASSERT_TRUE(backend.encode(loaded.image, {}, nullptr));
  const std::vector<int32_t> ids = token_ids(100);
  const int whole = backend.sequence(), cut = backend.sequence();
  const std::vector<float> expected = loaded.append(whole, {{nullptr, 9}, {ids.data(), 100}});
  loaded.append(cut, {{nullptr, 4, 0}});
  loaded.append(cut, {{nullptr, 5, 4}, {ids.data(), 33}});
  loaded.append(cut, {{ids.data() + 33, 65}});
  std::vector<float> logits(loaded.vocab);
  for (int i = 98; i < 100; ++i) backend.step(&cut, &ids[i], 1, logits.data());
  // Sums run in another order, or in halves where the other runs in floats, and a last bit may turn an INT8 rounding: inside what one product may do.
  EXPECT_LE(relative_error(logits, expected), bound_after(1));
}

TEST_P(BackendContract, CancelAtAnyLayerLeavesTheSequenceAsItWas) {
  Loaded loaded(GetParam());
  Backend& backend = *loaded.backend;
  const int sequence = backend.sequence();
  loaded.append(sequence, token_ids(20));
  const int kept = backend.fork(sequence);
  const std::vector<float> expected = loaded.append(kept, token_ids(9, 5));
  const int layers = backend.config().language.layers;
  for (int at = 0; at < layers; ++at) {
    int asked = 0;
    const std::vector<int32_t> ids = token_ids(30, 60);
    EXPECT_FALSE(backend.append(sequence, {{ids.data(), 30}}, nullptr, [&] { return asked++ == at; }));
    EXPECT_EQ(backend.length(sequence), 20);
  }
  EXPECT_EQ(loaded.append(sequence, token_ids(9, 5)), expected);
  int asked = 0;
  EXPECT_FALSE(backend.encode(
      loaded.image, [&] { return asked++ == 1; }, nullptr));
  EXPECT_EQ(asked, 2);
}

TEST_P(BackendContract, ACancelledExtensionKeepsWhatWasPromised) {
  BackendOptions options;
  options.cache_tokens = 4 * 32;
  Loaded loaded(GetParam(), options);
  Backend& backend = *loaded.backend;
  const int a = backend.sequence(), b = backend.sequence();
  ASSERT_TRUE(backend.reserve(a, 64));
  const int room = backend.room(b);
  EXPECT_FALSE(backend.append({{a, {{token_ids(40).data(), 40}}}}, nullptr, [] { return true; }));
  EXPECT_EQ(backend.room(b), room);
  loaded.append(b, token_ids(room));
  loaded.append(a, token_ids(64));
}

TEST_P(BackendContract, AStepThatDoesNotFitChangesNothing) {
  BackendOptions options;
  options.cache_tokens = 2 * 32;
  Loaded loaded(GetParam(), options);
  const int a = loaded.backend->sequence(), b = loaded.backend->sequence();
  loaded.append(a, token_ids(31));
  loaded.append(b, token_ids(32));
  const int both[] = {a, b};
  const int32_t ids[] = {1, 2};
  std::vector<float> logits(2 * loaded.vocab);
  EXPECT_THROW(loaded.backend->step(both, ids, 2, logits.data()), Error);
  EXPECT_EQ(loaded.backend->length(a), 31);
  EXPECT_EQ(loaded.backend->length(b), 32);
}

TEST_P(BackendContract, TooLittleMemorySaysHowMuch) {
  BackendOptions options;
  options.cache_tokens = 2'000'000'000;
  try {
    create_backend(GetParam(), std::make_shared<TinyModel>(), options, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kMemory);
    ASSERT_EQ(error.details.size(), 2u);
    EXPECT_EQ(error.details[0].first, "neededBytes");
    EXPECT_GT(error.details[0].second, error.details[1].second);
  }
}

TEST_P(BackendContract, AWeightOfMinus128IsATypedError) {
  auto model = std::make_shared<TinyModel>();
  model->int8_values("language.layers.1.up.weight")[1234] = -128;
  try {
    create_backend(GetParam(), model, {}, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kModelFormat) << error.what();
    EXPECT_NE(std::string(error.what()).find("is -128; expected -127 to 127"), std::string::npos) << error.what();
  }
}

}  // namespace mipha::test
