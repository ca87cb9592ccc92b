#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

namespace mipha {
namespace {

TEST(Random, IsSplitMix64) {
  // First outputs of SplitMix64 from seed 0, as published with the generator.
  Random random(0);
  EXPECT_EQ(random.next(), 0xe220a8397b1dcdafu);
  EXPECT_EQ(random.next(), 0x6e789e6aa1b965f4u);
  EXPECT_EQ(random.next(), 0x06c45d188009454fu);
}

TEST(Random, UniformStaysBelowOne) {
  Random random(7);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double value = random.uniform();
    ASSERT_GE(value, 0);
    ASSERT_LT(value, 1);
    sum += value;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 5 * std::sqrt(1.0 / 12 / 10000));
}

TEST(LogSumExp, NeitherOverflowsNorVanishes) {
  EXPECT_DOUBLE_EQ(log_sum_exp({1000.0f, 1000.0f}), 1000 + std::log(2.0));
  EXPECT_DOUBLE_EQ(log_sum_exp({-1000.0f}), -1000);
  EXPECT_EQ(log_sum_exp({}), -std::numeric_limits<double>::infinity());
}

TEST(Sampler, GreedyTakesTheLargestAndTheFirstAmongEquals) {
  Sampler sampler({});
  EXPECT_EQ(sampler.choose({1, 3, 2}), 1);
  EXPECT_EQ(sampler.choose({2, 5, 5}), 1);
}

TEST(Sampler, SeedDecidesTheRun) {
  const std::vector<float> logits = {0, 0.5f, 1, 0.2f, 0.9f};
  const auto run = [&](uint64_t seed) {
    Sampler sampler({1, 1, seed});
    std::vector<int> picks;
    for (int i = 0; i < 64; ++i) picks.push_back(sampler.choose(logits));
    return picks;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Sampler, PicksAsOftenAsTheSoftmaxSays) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  for (const float top_p : {1.0f, 0.999f}) {  // both ways of walking the candidates
    Sampler sampler({1, top_p, 3});
    int counts[3] = {};
    constexpr int kDraws = 20000;
    for (int i = 0; i < kDraws; ++i) ++counts[sampler.choose(logits)];
    const double shares[3] = {0.5, 0.3, 0.2};
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(counts[i], kDraws * shares[i], 5 * std::sqrt(kDraws * shares[i] * (1 - shares[i])));
  }
}

TEST(Sampler, TopPKeepsTheSmallestSetThatReachesIt) {
  const std::vector<float> logits = {std::log(0.1f), std::log(0.5f), std::log(0.15f), std::log(0.25f)};
  const auto seen = [&](float top_p) {
    Sampler sampler({1, top_p, 11});
    std::set<int> picks;
    for (int i = 0; i < 2000; ++i) picks.insert(sampler.choose(logits));
    return picks;
  };
  EXPECT_EQ(seen(0.0f), (std::set<int>{1}));
  EXPECT_EQ(seen(0.45f), (std::set<int>{1}));
  EXPECT_EQ(seen(0.7f), (std::set<int>{1, 3}));
  EXPECT_EQ(seen(0.88f), (std::set<int>{1, 2, 3}));
}

TEST(Sampler, LowTemperatureSharpens) {
  Sampler sampler({0.01f, 1, 5});
  for (int i = 0; i < 500; ++i) EXPECT_EQ(sampler.choose({0, 1, 0.5f}), 1);
}

}  // namespace
}  // namespace mipha
