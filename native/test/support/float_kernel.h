// What tests of the float kernels share: random rows, and bounds of which the largest share used is printed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/half.h"
#include "test/support/kernel_rows.h"

namespace mipha::cpu {

using Floats = std::vector<float>;
using Halves = std::vector<half_t>;

constexpr double kEpsilon = std::numeric_limits<float>::epsilon();  // twice the largest relative error of one rounding
constexpr double kTiny = std::numeric_limits<float>::min();         // what flushing or a denormal may lose
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kGuard = 12345.0f;

class FloatKernel : public test::KernelRow {
 protected:
  void SetUp() override { random_.seed(11); }

  void TearDown() override {
    if (worst_ >= 0) std::printf("           %s: at most %.1f %% of the bound used\n", kernels.name, 100 * worst_);
  }

  Floats normal(size_t count, float spread = 1) {
    Floats values(count);
    for (auto& value : values) value = std::normal_distribution<float>(0, spread)(random_);
    return values;
  }

  Halves halves(size_t count) {
    Halves values(count);
    for (auto& value : values) value = mipha::to_half(std::normal_distribution<float>(0, 1)(random_));
    return values;
  }

  void within(double found, double expected, double bound, const std::string& what) {
    const double error = std::fabs(found - expected);
    ASSERT_LE(error, bound) << what << ": " << found << ", expected " << expected;
    worst_ = std::max(worst_, error / bound);
  }

 private:
  std::mt19937 random_;
  double worst_ = -1;
};

inline double largest(const Floats& values) {
  double most = 0;
  for (const float value : values) most = std::max<double>(most, std::fabs(value));
  return most;
}

inline Floats floats(const Halves& values) {
  Floats wide(values.size());
  std::transform(values.begin(), values.end(), wide.begin(), mipha::from_half);
  return wide;
}

inline std::string at(const char* name, size_t index, size_t count) {
  return std::string(name) + " " + std::to_string(index) + " of " + std::to_string(count);
}

// A sum of k products, in any order, has at most k roundings of a partial sum no larger than k · max|a| · max|b|, and k of a product.
inline double sum_bound(int k, double a, double b) {
  return 2 * k * kEpsilon * a * b + kTiny;
}

}  // namespace mipha::cpu
