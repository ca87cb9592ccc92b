// The float kernels against plain loops in double, within bounds derived from the number of roundings.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "test/support/float_kernel.h"

namespace mipha::cpu {
namespace {

TEST_P(FloatKernel, GemmF32) {
  struct Size {
    int rows, depth, columns;
  };
  std::vector<Size> sizes;
  for (int rows = 1; rows <= 20; ++rows) sizes.push_back({rows, 16 + rows, 16 * (1 + rows % 9)});
  for (int columns = 16; columns <= 192; columns += 16) sizes.push_back({1 + columns / 16, 80, columns});
  sizes.insert(sizes.end(), {{8, 72, 80}, {64, 128, 128}, {9, 588, 144}, {3, 1, 16}, {33, 1000, 48}});
  for (const Size& size : sizes) {
    const size_t a_stride = size.depth + 3, b_stride = size.columns + 5, c_stride = size.columns + 7;
    const Floats a = normal(size.rows * a_stride), b = normal(size.depth * b_stride), before = normal(size.rows * c_stride);
    for (const bool accumulate : {false, true}) {
      Floats c = before;
      kernels.gemm_f32(a.data(), a_stride, size.rows, size.depth, b.data(), b_stride, size.columns, c.data(), c_stride, accumulate);
      const double bound = sum_bound(size.depth + 1, largest(a), largest(b));
      for (int m = 0; m < size.rows; ++m) {
        for (int n = 0; n < size.columns; ++n) {
          double expected = accumulate ? before[m * c_stride + n] : 0;
          for (int k = 0; k < size.depth; ++k) expected += static_cast<double>(a[m * a_stride + k]) * b[k * b_stride + n];
          within(c[m * c_stride + n], expected, bound, at("column", n, size.columns));
        }
        for (size_t n = size.columns; n < c_stride; ++n) ASSERT_EQ(c[m * c_stride + n], before[m * c_stride + n]) << "wrote between the rows";
      }
    }
  }
}

TEST_P(FloatKernel, Dequantize) {
  for (int count = 1; count <= 70; ++count) {
    std::vector<int32_t> acc(count);
    const Floats w_scale = normal(count, 0.01f), bias = normal(count);
    for (int i = 0; i < count; ++i) acc[i] = (i * 7919 - 30000) * (i % 5 == 0 ? 3001 : 1);
    for (const bool with_bias : {false, true}) {
      Floats out(count + 1, kGuard);
      kernels.dequantize(acc.data(), 0.03f, w_scale.data(), with_bias ? bias.data() : nullptr, count, out.data(), false);
      for (int i = 0; i < count; ++i) {
        const double product = static_cast<double>(acc[i]) * 0.03f * w_scale[i], offset = with_bias ? bias[i] : 0;
        // acc to float, the product of the scales, their product, the sum: four roundings of half an epsilon each.
        within(out[i], product + offset, 2 * kEpsilon * (std::fabs(product) + std::fabs(offset)) + kTiny, at("dequantize", i, count));
      }
      Floats added(count + 1, 3.0f);
      kernels.dequantize(acc.data(), 0.03f, w_scale.data(), with_bias ? bias.data() : nullptr, count, added.data(), true);
      for (int i = 0; i < count; ++i) ASSERT_EQ(added[i], 3.0f + out[i]) << at("dequantize, accumulating", i, count);
      ASSERT_EQ(added[count], 3.0f);
      ASSERT_EQ(out[count], kGuard);
    }
  }
}

TEST_P(FloatKernel, LayerNorm) {
  for (const int count : {1, 2, 7, 15, 16, 17, 31, 63, 64, 65, 127, 216, 320, 1152, 2048, 2560}) {
    for (const float shift : {0.0f, 3.0f}) {
      Floats x = normal(count, 2);
      for (auto& value : x) value += shift;
      const Floats gain = normal(count), bias = normal(count);
      Floats out(count + 1, kGuard);
      const float epsilon = 1e-5f;
      kernels.layer_norm(x.data(), gain.data(), bias.data(), epsilon, count, out.data());
      double mean = 0, variance = 0;
      for (const float value : x) mean += value;
      mean /= count;
      for (const float value : x) variance += (value - mean) * (value - mean);
      const double deviation = std::sqrt(variance / count + epsilon);
      // The mean is off by at most count roundings of partial sums, the deviation by half as many relative ones (square root), then a few more.
      const double mean_error = 0.5 * (count + 1) * kEpsilon * largest(x), relative = (0.25 * count + 4) * kEpsilon;
      for (int i = 0; i < count; ++i) {
        const double normal = (x[i] - mean) / deviation;
        const double slope = mean_error / deviation * (1 + std::fabs(normal) * mean_error / deviation);
        within(out[i], normal * gain[i] + bias[i],
               std::fabs(gain[i]) * (slope + relative * std::fabs(normal)) + kEpsilon * std::fabs(bias[i]) + kTiny, at("layer_norm", i, count));
      }
      ASSERT_EQ(out[count], kGuard);
    }
  }
}

TEST_P(FloatKernel, RmsNorm) {
  for (const int count : {1, 2, 7, 15, 16, 17, 31, 63, 64, 65, 127, 216, 320, 1152, 2048, 2560}) {
    Floats x = normal(count, 2);
    for (auto& value : x) value += 1;
    const Floats gain = normal(count);
    Floats out(count + 1, kGuard);
    const float epsilon = 1e-6f;
    kernels.rms_norm(x.data(), gain.data(), epsilon, count, out.data());
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * value;
    const double root = std::sqrt(squares / count + epsilon);
    for (int i = 0; i < count; ++i) {  // as above, without a mean
      const double expected = x[i] / root * gain[i];
      within(out[i], expected, (0.25 * count + 4) * kEpsilon * std::fabs(expected) + kTiny, at("rms_norm", i, count));
    }
    ASSERT_EQ(out[count], kGuard);
    kernels.rms_norm(x.data(), gain.data(), epsilon, count, x.data());  // in place
    out.pop_back();
    EXPECT_EQ(x, out);
  }
}

Floats sweep() {
  Floats x;
  for (int i = -40000; i <= 40000; ++i) x.push_back(static_cast<float>(i) / 2500);  // ±16
  for (const float value : {1e-38f, 1e-30f, 1e-10f, 1e-4f, 20.0f, 50.0f, 100.0f, 1e4f, 1e10f}) x.insert(x.end(), {value, -value});
  x.push_back(0);
  return x;
}

TEST_P(FloatKernel, GeluTanh) {
  const Floats x = sweep();
  Floats y = x;
  kernels.gelu_tanh(y.data(), y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], expected = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    // x · s(t) with t = 2u, |t| s (1 − s) ≤ 0.28: the six roundings of t weigh little, exp, the sum and the quotient one each.
    within(y[i], expected, 4 * kEpsilon * std::fabs(v) + kTiny, at("gelu_tanh", i, x.size()));
  }
}

TEST_P(FloatKernel, Swish) {
  for (const float beta : {1.0f, 1.702f}) {
    const Floats x = sweep();
    Floats y = x;
    kernels.swish(y.data(), beta, y.size());
    for (size_t i = 0; i < x.size(); ++i) {  // the same sum as GeluTanh's, with t = beta x
      const double v = x[i];
      within(y[i], v / (1 + std::exp(-beta * v)), 4 * kEpsilon * std::fabs(v) + kTiny, at("swish", i, x.size()));
    }
  }
}

TEST_P(FloatKernel, GeluErf) {
  const Floats x = sweep();
  Floats y = x;
  kernels.gelu_erf(y.data(), y.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], expected = 0.5 * v * std::erfc(-v / std::sqrt(2.0));
    // The tail's polynomial is within 1.7e-8; its eight steps, exp and the products round at values of at most one half.
    within(y[i], expected, (1.7e-8 + 2 * kEpsilon) * std::fabs(v) + kTiny, at("gelu_erf", i, x.size()));
  }
}

TEST_P(FloatKernel, ElementwiseRemainders) {
  for (size_t count = 0; count <= 50; ++count) {
    const Floats x = normal(count), y = normal(count);
    for (size_t offset = 0; offset < 4; ++offset) {
      const auto with_guard = [&](const auto& run) {
        Floats out(offset, kGuard);
        out.insert(out.end(), x.begin(), x.end());
        out.push_back(kGuard);
        run(out.data() + offset);
        EXPECT_EQ(out.back(), kGuard) << count;
        out.pop_back();
        return Floats(out.begin() + offset, out.end());
      };
      const Floats sums = with_guard([&](float* out) { kernels.add(out, y.data(), count); });
      const Floats products = with_guard([&](float* out) { kernels.multiply(out, y.data(), count); });
      const Floats silu = with_guard([&](float* out) { kernels.swish(out, 1, count); });
      const Floats scaled = with_guard([&](float* out) { kernels.scale(out, 0.37f, out, count); });
      const Floats copied = with_guard([&](float* out) { kernels.scale(y.data(), 0.37f, out, count); });
      const Floats tanh = with_guard([&](float* out) { kernels.gelu_tanh(out, count); });
      const Floats erf = with_guard([&](float* out) { kernels.gelu_erf(out, count); });
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(sums[i], x[i] + y[i]);
        ASSERT_EQ(products[i], x[i] * y[i]);
        within(silu[i], x[i] / (1 + std::exp(-static_cast<double>(x[i]))), 4 * kEpsilon * std::fabs(x[i]) + kTiny, at("swish", i, count));
        ASSERT_EQ(scaled[i], x[i] * 0.37f);
        ASSERT_EQ(copied[i], y[i] * 0.37f);
        within(tanh[i], 0.5 * x[i] * (1 + std::tanh(std::sqrt(2 / M_PI) * (x[i] + 0.044715 * std::pow(x[i], 3)))),
               4 * kEpsilon * std::fabs(x[i]) + kTiny, at("gelu_tanh", i, count));
        within(erf[i], 0.5 * x[i] * std::erfc(-x[i] / std::sqrt(2.0)), (1.7e-8 + 2 * kEpsilon) * std::fabs(x[i]) + kTiny, at("gelu_erf", i, count));
      }
    }
  }
}

TEST_P(FloatKernel, RotateEqualsItsScalarTwinBitForBit) {
  for (const int half : {1, 3, 4, 5, 8, 15, 16, 17, 20, 32, 40, 64, 128}) {
    const Floats cosine = normal(half), sine = normal(half);
    Floats x = normal(2 * half + 1), expected = x;
    kernels.rotate(x.data(), cosine.data(), sine.data(), half);
    find_kernels("scalar")->rotate(expected.data(), cosine.data(), sine.data(), half);
    EXPECT_EQ(x, expected) << half;
    EXPECT_NE(x[0], 0);
  }
}

TEST_P(FloatKernel, SoftmaxBlock) {
  for (const int count : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 33, 64, 100, 128, 729}) {
    for (const float before : {-kInfinity, 0.0f, 30.0f}) {
      Floats x = normal(count, 12);
      if (count > 3) x[1] = -kInfinity;  // a masked key
      if (count > 8) x[5] = -200;        // exp is below every float
      Floats y = x;
      y.push_back(kGuard);
      float running_max = before;
      const float sum = kernels.softmax_block(y.data(), count, &running_max);
      const float most = std::max(before, *std::max_element(x.begin(), x.end()));
      ASSERT_EQ(running_max, most);
      const double least = std::exp(-87.33);  // what an exp below every float may be instead of 0
      double expected_sum = 0;
      for (int i = 0; i < count; ++i) {
        const double difference = static_cast<double>(x[i]) - most, expected = std::exp(difference);
        expected_sum += expected;
        // The difference is rounded once; exp itself is good to two units in the last place.
        const double relative = std::isinf(difference) ? 0 : (0.5 * std::fabs(difference) + 2) * kEpsilon;
        within(y[i], expected, relative * expected + least, at("softmax_block", i, count));
      }
      within(sum, expected_sum, (0.5 * count + 0.5 * 100 + 2) * kEpsilon * expected_sum + count * least, "sum of " + std::to_string(count));
      ASSERT_EQ(y[count], kGuard);
    }
  }
}

TEST_P(FloatKernel, SoftmaxInBlocksEqualsSoftmaxAtOnce) {
  const Floats x = normal(300, 5);
  float running_max = -kInfinity, sum = 0;
  for (int first = 0; first < 300; first += 64) {
    Floats block(x.begin() + first, x.begin() + std::min(300, first + 64));
    const float before = running_max, block_sum = kernels.softmax_block(block.data(), static_cast<int>(block.size()), &running_max);
    sum = sum * std::exp(before - running_max) + block_sum;
  }
  double expected = 0;
  for (const float value : x) expected += std::exp(static_cast<double>(value) - running_max);
  EXPECT_EQ(running_max, *std::max_element(x.begin(), x.end()));
  within(sum, expected, 400 * kEpsilon * expected, "sum");
}

INSTANTIATE_TEST_SUITE_P(Row, FloatKernel, testing::ValuesIn(test::all_rows()), test::row_name);

}  // namespace
}  // namespace mipha::cpu
