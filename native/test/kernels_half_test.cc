// The kernels of the f16 cache, conversions and what decoding multiplies, against plain loops in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "test/support/float_kernel.h"

namespace mipha::cpu {
namespace {

TEST_P(FloatKernel, EveryHalfToFloatAndBack) {
  Halves all(65536);
  std::iota(all.begin(), all.end(), static_cast<half_t>(0));
  Floats wide(all.size());
  kernels.from_half(all.data(), wide.data(), all.size());
  Halves back(all.size());
  kernels.to_half(wide.data(), back.data(), back.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const float expected = mipha::from_half(all[i]);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide[i]) && std::isnan(mipha::from_half(back[i]))) << i;
    } else {
      ASSERT_EQ(bits_of_float(wide[i]), bits_of_float(expected)) << i;
      ASSERT_EQ(back[i], all[i]) << i;
    }
  }
}

TEST_P(FloatKernel, HalfRoundsToNearestEven) {
  Floats x;
  for (int sign = 0; sign < 2; ++sign) {
    for (int bits = 0; bits < 0x7c00; ++bits) {  // every finite half, the middle to the next one, and the floats beside that middle
      const float low = mipha::from_half(static_cast<half_t>(bits)),
                  high = bits == 0x7bff ? 65536.0f : mipha::from_half(static_cast<half_t>(bits + 1));
      const float middle = low + (high - low) / 2, factor = sign ? -1.0f : 1.0f;
      for (const float value : {low, std::nextafter(middle, 0.0f), middle, std::nextafter(middle, kInfinity)}) x.push_back(factor * value);
    }
  }
  x.insert(x.end(), {1e-45f, -1e-45f, 1e-30f, 65535.9f, 65536.0f, -1e30f, kInfinity, -kInfinity});
  Halves found(x.size());
  kernels.to_half(x.data(), found.data(), x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(found[i], mipha::to_half(x[i])) << x[i];
    // The twin itself: no other half is nearer, and of two equally near the even one was taken.
    if (std::fabs(x[i]) >= 65520.0f) {
      ASSERT_EQ(found[i] & 0x7fff, 0x7c00) << x[i];
      continue;
    }
    const double taken = std::fabs(static_cast<double>(mipha::from_half(found[i])) - x[i]);
    for (const int step : {-1, 1}) {
      const int beside = (found[i] & 0x7fff) + step;
      if (beside < 0 || beside >= 0x7c00) continue;
      const double other = std::fabs(std::fabs(static_cast<double>(mipha::from_half(static_cast<half_t>(beside)))) - std::fabs(x[i]));
      ASSERT_TRUE(taken < other || (taken == other && found[i] % 2 == 0)) << x[i];
    }
  }
}

TEST_P(FloatKernel, HalfRemainders) {
  for (size_t count = 0; count <= 50; ++count) {
    const Floats x = normal(count);
    Halves half(count + 1, 0x1234);
    kernels.to_half(x.data(), half.data(), count);
    EXPECT_EQ(half[count], 0x1234);
    Floats wide(count + 1, kGuard);
    kernels.from_half(half.data(), wide.data(), count);
    EXPECT_EQ(wide[count], kGuard);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(half[i], mipha::to_half(x[i]));
      ASSERT_EQ(wide[i], mipha::from_half(half[i]));
    }
  }
}

TEST_P(FloatKernel, TransposeHalf) {
  for (const int rows : {1, 3, 4, 8, 15, 16, 64, 72, 80, 81}) {
    for (const int columns : {1, 2, 5, 8, 12, 16, 33, 64}) {
      const size_t x_stride = rows + 9, out_stride = columns + 3;
      const Halves x = halves(columns * x_stride);
      Floats out(rows * out_stride, kGuard);
      kernels.transpose_half(x.data(), x_stride, rows, columns, out.data(), out_stride);
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < columns; ++c) ASSERT_EQ(out[r * out_stride + c], mipha::from_half(x[c * x_stride + r])) << rows << " x " << columns;
        for (size_t c = columns; c < out_stride; ++c) ASSERT_EQ(out[r * out_stride + c], kGuard) << "wrote between the rows";
      }
    }
  }
}

TEST_P(FloatKernel, DotHalf) {
  for (const int head_size : {1, 7, 16, 48, 64, 72, 80, 128}) {
    for (const int count : {1, 2, 3, 4, 5, 7, 31, 64}) {
      const size_t stride = head_size + 11;
      const Floats q = normal(head_size);
      const Halves k = halves(count * stride);
      const Floats wide = floats(k);
      Floats scores(count + 1, kGuard);
      kernels.dot_half(q.data(), k.data(), stride, count, head_size, scores.data());
      for (int i = 0; i < count; ++i) {
        double expected = 0;
        for (int d = 0; d < head_size; ++d) expected += static_cast<double>(q[d]) * wide[i * stride + d];
        within(scores[i], expected, sum_bound(head_size, largest(q), largest(wide)), at("score", i, count));
      }
      ASSERT_EQ(scores[count], kGuard);
      Floats unpacked(count + 1, kGuard);
      kernels.dot_float(q.data(), wide.data(), stride, count, head_size, unpacked.data());
      ASSERT_EQ(unpacked, scores) << count << " keys of " << head_size;  // to the bit
    }
  }
}

TEST_P(FloatKernel, WeightedHalf) {
  for (const int head_size : {1, 7, 16, 48, 64, 72, 80, 128, 144, 200}) {
    for (const int count : {1, 2, 5, 31, 64}) {
      const size_t stride = head_size + 11;
      const Floats p = normal(count), before = normal(head_size);
      const Halves v = halves(count * stride);
      const Floats wide = floats(v);
      Floats out = before;
      out.push_back(kGuard);
      kernels.weighted_half(p.data(), v.data(), stride, count, head_size, out.data());
      for (int d = 0; d < head_size; ++d) {
        double expected = before[d];
        for (int i = 0; i < count; ++i) expected += static_cast<double>(p[i]) * wide[i * stride + d];
        within(out[d], expected,
               sum_bound(count + 1, std::max(1.0, largest(p)), std::max(1.0, largest(wide))) + kEpsilon * std::fabs(before[d]) * count,
               at("value", d, head_size));
      }
      ASSERT_EQ(out[head_size], kGuard);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Row, FloatKernel, testing::ValuesIn(test::all_rows()), test::row_name);

}  // namespace
}  // namespace mipha::cpu
