// What calibration observes, against plain loops; and static quantization as ONNX defines it.
#include "model/observe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace mipha {
namespace {

std::vector<float> values(int count) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> x(count);
  for (float& value : x) value = std::ldexp(normal(random), static_cast<int>(random() % 20) - 10);
  return x;
}

TEST(Observe, LargestOfColumnsGrowsFromCallToCall) {
  std::vector<float> largest(3, 0.0f);
  const float first[] = {1, -5, 0, -2, 4, 0}, second[] = {-3, 0.5f, 0};
  observe_columns(first, 2, 3, largest.data());
  EXPECT_EQ(largest, (std::vector<float>{2, 5, 0}));
  observe_columns(second, 1, 3, largest.data());
  EXPECT_EQ(largest, (std::vector<float>{3, 5, 0}));
}

TEST(Observe, EveryMagnitudeIsInItsBin) {
  const int rows = 500, columns = 5;
  const std::vector<float> x = values(rows * columns);
  std::vector<uint32_t> counts(columns * kMagnitudeBins), expected(counts.size());
  observe_magnitudes(x.data(), rows, columns, counts.data());
  for (int i = 0; i < rows * columns; ++i) {
    const double magnitude = std::fabs(x[i]);
    int bin = 0;  // sixteen equal steps within each octave
    for (int octave = 0; octave < kOctaves; ++octave) {
      for (int step = 0; step < kBinsPerOctave; ++step) {
        const double edge = std::ldexp(1.0 + static_cast<double>(step) / kBinsPerOctave, kFirstOctave + octave);
        if (magnitude >= edge) bin = octave * kBinsPerOctave + step;
      }
    }
    ++expected[static_cast<size_t>(i % columns) * kMagnitudeBins + bin];
  }
  EXPECT_EQ(counts, expected);
}

TEST(Observe, WhatIsOutsideFallsIntoTheFirstOrTheLastBin) {
  const float x[] = {0, 1e-30f, 1e30f, -std::numeric_limits<float>::infinity()};
  std::vector<uint32_t> counts(kMagnitudeBins);
  observe_magnitudes(x, 4, 1, counts.data());
  EXPECT_EQ(counts.front(), 2u);
  EXPECT_EQ(counts.back(), 2u);
}

TEST(Observe, APowerOfTwoMovesAColumnByWholeOctaves) {
  std::vector<float> x = values(1000);
  std::vector<uint32_t> before(kMagnitudeBins), after(kMagnitudeBins);
  for (float& value : x) value = std::fmin(std::fabs(value) + 0.01f, 100.0f);
  observe_magnitudes(x.data(), 1000, 1, before.data());
  for (float& value : x) value *= 8;
  observe_magnitudes(x.data(), 1000, 1, after.data());
  for (int bin = 0; bin + 3 * kBinsPerOctave < kMagnitudeBins; ++bin) ASSERT_EQ(after[bin + 3 * kBinsPerOctave], before[bin]) << bin;
}

TEST(FakeQuantize, RoundsHalfToEvenAndSaturatesAsOnnxDoes) {
  float x[] = {0.25f, 0.75f, -0.25f, -0.75f, 0.24f, 63.4f, 63.6f, 1000, -63.9f, -64.3f, -1000};
  const float expected[] = {0, 1, 0, -1, 0, 63.5f, 63.5f, 63.5f, -64, -64, -64};
  fake_quantize(x, 11, 0.5f);
  for (int i = 0; i < 11; ++i) EXPECT_EQ(x[i], expected[i]) << i;
}

}  // namespace
}  // namespace mipha
