// What all backends have in common: their list, and choices made of logits.
#include "backend/backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "core/error.h"
#include "test/support/tiny_model.h"

namespace mipha {
namespace {

TEST(Backends, EachCanBeCreatedByItsNameOrSaysWhyNot) {
  bool cpu = false;
  for (const BackendInfo& info : backends()) {
    EXPECT_EQ(info.available, info.reason.empty()) << info.name;
    cpu = cpu || info.name == "cpu";
    try {
      EXPECT_EQ(create_backend(info.name, std::make_shared<test::TinyModel>(), {}, {})->name(), info.name);
      EXPECT_TRUE(info.available) << info.name;
    } catch (const Error& error) {  // it has no library or no engines here, and says so itself
      EXPECT_NE(info.name, "cpu");
      EXPECT_EQ(std::string(error.what()).find("not part of this build"), std::string::npos) << error.what();
    }
  }
  EXPECT_TRUE(cpu);
  EXPECT_EQ(backends().back().name, "cpu");  // which every machine has
}

TEST(Backends, AnotherNameIsRefusedWithThoseThereAre) {
  for (const char* name : {"", "auto", "abacus", "CPU"}) {
    try {
      create_backend(name, std::make_shared<test::TinyModel>(), {}, {});
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kBackend);
      for (const BackendInfo& info : backends()) EXPECT_NE(std::string(error.what()).find(info.name), std::string::npos) << error.what();
    }
  }
}

TEST(Likeliest, IsTheFirstOfTheLargestAndCountsOnlyNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float logits[] = {3, NAN, 5, 5, kInfinity, -2, -kInfinity, 9};
  const auto expect = [&](const std::vector<int32_t>& candidates, int32_t id, float margin) {
    const Choice choice = likeliest(logits, candidates);
    EXPECT_EQ(choice.id, id);
    EXPECT_EQ(choice.margin, margin);
  };
  expect({0, 1, 2, 3, 4, 5, 6}, 2, 0);
  expect({3, 2, 0}, 3, 0);
  expect({5, 0, 2}, 2, 2);
  expect({2, 0, 5}, 2, 2);
  expect({7, 5}, 7, 11);
  expect({1, 5, 4, 6}, 5, kInfinity);
  expect({1, 4, 6}, -1, 0);
  expect({}, -1, 0);
}

TEST(Likeliest, AgreesWithSorting) {
  std::mt19937 random(7);
  for (int round = 0; round < 2000; ++round) {
    std::vector<float> logits(1 + random() % 9);
    for (float& logit : logits) logit = random() % 8 == 0 ? NAN : static_cast<float>(random() % 5) - 2;
    std::vector<int32_t> candidates(logits.size());
    std::iota(candidates.begin(), candidates.end(), 0);
    std::shuffle(candidates.begin(), candidates.end(), random);
    std::vector<int32_t> sorted;
    std::copy_if(candidates.begin(), candidates.end(), std::back_inserter(sorted), [&](int32_t id) { return std::isfinite(logits[id]); });
    std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
    const Choice choice = likeliest(logits.data(), candidates);
    ASSERT_EQ(choice.id, sorted.empty() ? -1 : sorted[0]);
    if (sorted.size() > 1) {
      ASSERT_EQ(choice.margin, logits[sorted[0]] - logits[sorted[1]]);
    }
  }
}

}  // namespace
}  // namespace mipha
