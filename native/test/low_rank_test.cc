#include "package/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace mipha {
namespace {

std::vector<float> random_values(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = std::uniform_real_distribution<float>(-1, 1)(random);
  return values;
}

/// Every value on its own: rank additions and as many products, each off by at most half an ulp of a partial sum below 1 + 2 · rank.
TEST(LowRank, EqualsAPlainSumOverAwkwardSizes) {
  const float scale = 2;
  for (int64_t rows : {1, 3, 4, 9}) {
    for (int64_t rank : {1, 2, 7, 128}) {
      for (int64_t columns : {1, 15, 16, 17, 80}) {
        const auto base = random_values(rows * columns, 1), a = random_values(rank * columns, 2), b = random_values(rows * rank, 3);
        std::vector<float> out = base;
        add_product(out.data(), b.data(), a.data(), rows, rank, columns, scale);
        for (int64_t r = 0; r < rows; ++r) {
          for (int64_t c = 0; c < columns; ++c) {
            double sum = base[r * columns + c], magnitude = std::abs(sum);
            for (int64_t k = 0; k < rank; ++k) {
              const double term = static_cast<double>(scale) * b[r * rank + k] * a[k * columns + c];
              sum += term;
              magnitude += std::abs(term);
            }
            ASSERT_NEAR(out[r * columns + c], sum, static_cast<double>(rank + 2) * 0x1p-23 * magnitude) << rows << " " << rank << " " << columns;
          }
        }
      }
    }
  }
}

TEST(LowRank, DoesNotDependOnHowRowsAreDivided) {
  const int64_t rows = 23, rank = 9, columns = 45;
  const auto base = random_values(rows * columns, 4), a = random_values(rank * columns, 5), b = random_values(rows * rank, 6);
  std::vector<float> whole = base, parts = base;
  add_product(whole.data(), b.data(), a.data(), rows, rank, columns, 0.5f);
  for (int64_t first = 0, count; first < rows; first += count) {
    count = std::min<int64_t>(5, rows - first);
    add_product(parts.data() + first * columns, b.data() + first * rank, a.data(), count, rank, columns, 0.5f);
  }
  EXPECT_EQ(parts, whole);
}

}  // namespace
}  // namespace mipha
