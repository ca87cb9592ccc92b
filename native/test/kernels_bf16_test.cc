// The BF16 kernels of this machine against their scalar twin: what they round bit for bit, products within the roundings of an f32 sum.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/tables.h"
#include "core/half.h"
#include "test/support/kernel_rows.h"

namespace mipha::cpu {
namespace {

using Floats = std::vector<float>;
using Pairs = std::vector<uint32_t>;
constexpr uint32_t kGuard = 0x5a5a5a5a;

std::vector<const Kernels*> rows_with_bf16() {
  std::vector<const Kernels*> rows;
  for (const Kernels* row : test::all_rows()) {
    if (row->bf16 != nullptr) rows.push_back(row);
  }
  return rows;
}

class Bf16 : public test::KernelRow {
 protected:
  const Bf16Kernels& fast = *kernels.bf16;
  const Bf16Kernels& twin = kScalarBf16Kernels;
  std::mt19937 random{3};

  float any() { return std::normal_distribution<float>(0, 2)(random); }
  std::vector<half_t> halves(size_t count) {
    std::vector<half_t> values(count);
    for (auto& value : values) value = to_half(any());
    return values;
  }
};

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Bf16);  // where no CPU has them

TEST(Bf16Twin, RoundsToTheNearestTiesToEven) {
  const float values[] = {1.0f, 1.00390625f, 1.01171875f, 1.005f, -3.0f, 0.0f, 65504.0f};  // the second and the third lie half way
  bfloat16_t rounded[7];
  kScalarBf16Kernels.round(values, rounded, 7);
  const bfloat16_t expected[] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0xc040, 0, 0x4780};
  for (int i = 0; i < 7; ++i) EXPECT_EQ(rounded[i], expected[i]) << values[i];
}

TEST_P(Bf16, Round) {
  for (int count = 1; count <= 100; ++count) {
    Floats x(count);
    for (auto& value : x) value = any();
    x[count / 2] = std::ldexp(1.0f, count - 50) * (1 + 0x1p-8f);  // half way
    std::vector<bfloat16_t> found(count + 32, 7), expected(count + 32, 7);
    fast.round(x.data(), found.data(), count);
    twin.round(x.data(), expected.data(), count);
    EXPECT_EQ(found, expected) << count;
  }
}

TEST_P(Bf16, PairValues) {
  for (const int head_size : {1, 15, 16, 17, 64, 72, 80, 128, 256}) {
    for (const int count : {1, 2, 3, 16, 31, 32}) {
      const auto v = halves(static_cast<size_t>(count) * head_size);
      const size_t stride = (head_size + 15) / 16 * 16 + 16, rows = (count + 1) / 2;
      Pairs found(rows * stride, kGuard), expected(rows * stride, kGuard);
      fast.pair_values(v.data(), head_size, count, found.data(), stride);
      twin.pair_values(v.data(), head_size, count, expected.data(), stride);
      ASSERT_EQ(found, expected) << head_size << " values, " << count << " rows";
    }
  }
}

TEST_P(Bf16, Gemm) {
  struct Size {
    int rows, pairs, columns;
  };
  std::vector<Size> sizes;
  for (int rows = 1; rows <= 33; ++rows) sizes.push_back({rows, 1 + rows % 7, 16 * (1 + rows % 9)});
  sizes.insert(sizes.end(), {{32, 36, 128}, {32, 40, 128}, {19, 64, 80}, {7, 64, 96}, {5, 128, 256}, {1, 1, 16}});
  for (const Size& size : sizes) {
    const size_t a_stride = 2 * size.pairs + 6, b_stride = size.columns + 16, c_stride = size.columns + 3;
    Floats wide(size.rows * a_stride);
    for (auto& value : wide) value = any();
    std::vector<bfloat16_t> a(wide.size());
    twin.round(wide.data(), a.data(), a.size());
    Pairs b(size.pairs * b_stride);
    for (auto& pair : b) {
      const float two[] = {any(), any()};
      twin.round(two, reinterpret_cast<bfloat16_t*>(&pair), 2);
    }
    Floats before(size.rows * c_stride);
    for (auto& value : before) value = any();
    for (const bool accumulate : {false, true}) {
      Floats found = before, expected = before;
      fast.gemm(a.data(), a_stride, size.rows, size.pairs, b.data(), b_stride, size.columns, found.data(), c_stride, accumulate);
      twin.gemm(a.data(), a_stride, size.rows, size.pairs, b.data(), b_stride, size.columns, expected.data(), c_stride, accumulate);
      // Both have a rounding per product and sum: of at most 2 · pairs + 1 terms below 100.
      const float bound = 4.0f * size.pairs * (2 * size.pairs + 1) * 100 * std::numeric_limits<float>::epsilon();
      for (int m = 0; m < size.rows; ++m) {
        for (size_t n = 0; n < c_stride; ++n) {
          const size_t i = m * c_stride + n;
          if (n >= static_cast<size_t>(size.columns)) {
            ASSERT_EQ(found[i], before[i]) << "wrote between the rows";
            continue;
          }
          ASSERT_NEAR(found[i], expected[i], bound) << size.rows << " × " << size.pairs << " × " << size.columns << ", row " << m << ", column " << n;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Row, Bf16, testing::ValuesIn(rows_with_bf16()), test::row_name);

}  // namespace
}  // namespace mipha::cpu
