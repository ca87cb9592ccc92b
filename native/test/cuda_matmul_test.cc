// Products of many rows on the CUDA backend against plain loops: every format, epilogue and shape of block, on the machine without a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "test/machine/machine.h"
#include "test/support/cuda_matrix.h"

namespace mipha::test {
namespace {

using cuda::Format;

constexpr int kLarge = 1, kSmall = 10000;  // multiprocessors: which shape of block is taken
constexpr float kUntouched = -12345;

class Matmul : public testing::TestWithParam<std::tuple<Format, int>> {
 protected:
  const Format format = std::get<0>(GetParam());
  const cuda::Launch launch{nullptr, std::get<1>(GetParam())};
  Numbers numbers{7};

  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }

  /// got [rows][stride]: within the bound of `expected` [rows][width], and untouched beyond the width.
  static void compare(const std::vector<float>& got, int stride, const std::vector<float>& expected, int width, const std::vector<float>& bound) {
    ASSERT_EQ(got.size() / stride, expected.size() / width);
    for (size_t i = 0; i < got.size(); ++i) {
      const size_t row = i / stride, n = i % stride, at = row * width + n;
      if (n >= static_cast<size_t>(width)) {
        ASSERT_EQ(got[i], kUntouched) << "row " << row << ", column " << n;
      } else {
        ASSERT_TRUE(std::fabs(got[i] - expected[at]) <= bound[at])
            << "row " << row << ", column " << n << ": " << got[i] << ", expected " << expected[at] << " within " << bound[at];
      }
    }
  }
};

struct Shape {
  int rows, out, in;
};

TEST_P(Matmul, StoresWhatPlainLoopsGive) {
  for (const Shape& s : {Shape{1, 16, 32}, {7, 40, 96}, {65, 216, 216}, {129, 272, 576}, {130, 128, 64}, {66, 48, 4304}}) {
    SCOPED_TRACE(testing::Message() << s.rows << " rows, " << s.out << " x " << s.in);
    const PlainMatrix w(numbers, format, s.out, s.in);
    const PlainOperand x(numbers, s.rows, w);
    const DeviceMatrix matrix(w);
    const DeviceOperand operand(x);
    const int stride = s.out + 3;
    const Buffer<float> out(std::vector<float>(static_cast<size_t>(s.rows) * stride, kUntouched));
    MACHINE_CHECK(matmul(launch, operand.operand, s.rows, matrix.matrix, cuda::Store{out.data(), stride}));
    MACHINE_CHECK(cudaDeviceSynchronize());
    const Products products(x, w);
    compare(out.get(), stride, products.y, s.out, products.bound);
  }
}

TEST_P(Matmul, SaturatedInputsDoNotOverflow) {
  PlainMatrix w(numbers, format, 16, 4304);
  PlainOperand x(numbers, 70, w);
  for (float& value : w.weight) value = format == Format::kF16 ? as_half(0.1f) : -127;
  for (size_t i = 0; i < x.values.size(); ++i) x.values[i] = static_cast<int>(i) % x.depth >= x.width ? 0 : x.wide ? 1.9990234f : 127;
  const DeviceMatrix matrix(w);
  const DeviceOperand operand(x);
  const Buffer<float> out(70 * 16);
  MACHINE_CHECK(matmul(launch, operand.operand, 70, matrix.matrix, cuda::Store{out.data(), 16}));
  MACHINE_CHECK(cudaDeviceSynchronize());
  const Products products(x, w);
  compare(out.get(), 16, products.y, 16, products.bound);
}

TEST_P(Matmul, BitsOfARowDoNotDependOnOthers) {
  const PlainMatrix w(numbers, format, 144, 352);
  const PlainOperand x(numbers, 130, w);
  const DeviceMatrix matrix(w);
  const DeviceOperand all(x);
  const Buffer<float> out(130 * 144), alone(144);
  MACHINE_CHECK(matmul(launch, all.operand, 130, matrix.matrix, cuda::Store{out.data(), 144}));
  MACHINE_CHECK(cudaDeviceSynchronize());
  const std::vector<float> got = out.get();
  for (const int row : {0, 63, 129}) {
    PlainOperand one = x;
    one.rows = 1, one.scale = {x.scale[row]};
    one.values.assign(x.values.begin() + row * x.depth, x.values.begin() + (row + 1) * x.depth);
    const DeviceOperand operand(one);
    MACHINE_CHECK(matmul(launch, operand.operand, 1, matrix.matrix, cuda::Store{alone.data(), 144}));
    MACHINE_CHECK(cudaDeviceSynchronize());
    EXPECT_EQ(alone.get(), std::vector<float>(got.begin() + row * 144, got.begin() + (row + 1) * 144)) << row;
  }
}

TEST_P(Matmul, AddsToWhatIsThere) {
  const int rows = 67, width = 136, stride = 140;
  const PlainMatrix w(numbers, format, width, 216);
  const PlainOperand x(numbers, rows, w);
  const DeviceMatrix matrix(w);
  const DeviceOperand operand(x);
  const Products products(x, w);
  for (const bool more : {false, true}) {
    std::vector<float> before = numbers.floats(rows * stride, -4, 4), second = numbers.floats(rows * stride, -4, 4);
    for (int i = 0; i < rows * stride; ++i) {
      if (i % stride >= width) before[i] = kUntouched, second[i] = NAN;
    }
    const Buffer<float> out(before), device_more(second);
    MACHINE_CHECK(matmul(launch, operand.operand, rows, matrix.matrix, cuda::Add{out.data(), stride, more ? device_more.data() : nullptr}));
    MACHINE_CHECK(cudaDeviceSynchronize());
    std::vector<float> expected, bound;
    for (int i = 0; i < rows * width; ++i) {
      const int at = i / width * stride + i % width;
      expected.push_back(before[at] + products.y[i]);
      if (more) expected.back() += second[at];
      bound.push_back(products.bound[i] + (x.wide ? 0x1p-20f : 0));
    }
    compare(out.get(), stride, expected, width, bound);
  }
}

double activated(Activation activation, double v) {
  switch (activation) {
    case Activation::kGeluTanh:
      return v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    case Activation::kGeluErf:
      return v / 2 * (1 + std::erf(v / std::sqrt(2)));
    case Activation::kQuickGelu:
      return v / (1 + std::exp(-1.702 * v));
    case Activation::kSilu:
      return v / (1 + std::exp(-v));
  }
  return NAN;
}

TEST_P(Matmul, ActivatesAndGates) {
  const int rows = 66, stride = 80;
  for (const int width : {72, 76}) {  // of out; 76: the last tile is half empty, or its gates are
    for (const bool gated : {false, true}) {
      cuda::RowOrder order;
      if (gated) order.gated = width;
      const PlainMatrix w(numbers, format, gated ? 2 * width : width, 96, order);
      const PlainOperand x(numbers, rows, w);
      const DeviceMatrix matrix(w);
      const DeviceOperand operand(x);
      const Products products(x, w);
      for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kQuickGelu, Activation::kSilu}) {
        const bool smoothed = activation != Activation::kSilu;
        const std::vector<float> smooth = smoothed ? numbers.floats(width, 0.5f, 2) : std::vector<float>(width, 1.0f);
        std::vector<float> expected, bound;
        for (int r = 0; r < rows; ++r) {
          for (int n = 0; n < width; ++n) {
            const size_t at = static_cast<size_t>(r) * w.out + n;
            const double other = gated ? products.y[at + width] : 1, other_bound = gated ? products.bound[at + width] : 0;
            const double value = activated(activation, products.y[at]);
            expected.push_back(static_cast<float>(value * other * smooth[n]));
            // No slope of an activation is above 1.13; its own error is 2⁻²⁰ of the input.
            const double error = 1.13 * products.bound[at] + std::fabs(products.y[at]) * 0x1p-20;
            bound.push_back(static_cast<float>((error * (std::fabs(other) + other_bound) + std::fabs(value) * other_bound) * smooth[n] +
                                               std::fabs(expected.back()) * 0x1p-22));
          }
        }
        for (const bool peaks : {false, true}) {
          const Buffer<float> out(std::vector<float>(rows * stride, kUntouched)), device_smooth(smooth);
          std::vector<uint32_t> before(rows);
          before[3] = bits_of_float(1000);  // raised, not set
          const Buffer<uint32_t> peak(before);
          const cuda::Activate what{activation, smoothed ? device_smooth.data() : nullptr, out.data(), stride, peaks ? peak.data() : nullptr};
          MACHINE_CHECK(matmul(launch, operand.operand, rows, matrix.matrix, what));
          MACHINE_CHECK(cudaDeviceSynchronize());
          const std::vector<float> got = out.get();
          compare(got, stride, expected, width, bound);
          const std::vector<uint32_t> got_peak = peak.get();
          for (int r = 0; r < rows; ++r) {
            float largest = float_from_bits(before[r]);
            for (int n = 0; peaks && n < width; ++n) largest = std::max(largest, std::fabs(got[r * stride + n]));
            ASSERT_EQ(float_from_bits(got_peak[r]), largest) << "row " << r;
          }
        }
      }
    }
  }
}

TEST_P(Matmul, ActivationsOfHugeValuesStayFinite) {
  PlainMatrix w(numbers, format, 16, 32);
  std::fill(w.weight.begin(), w.weight.end(), 0.0f);
  w.bias = {0, -0.0f, 1e-30f, -1e-30f, 20, -20, 100, -100, 1e10f, -1e10f, 1e20f, -1e20f, 3e38f, -3e38f, 88, -88};
  const PlainOperand x(numbers, 2, w);
  const DeviceMatrix matrix(w);
  const DeviceOperand operand(x);
  for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kQuickGelu, Activation::kSilu}) {
    const Buffer<float> out(32);
    MACHINE_CHECK(matmul(launch, operand.operand, 2, matrix.matrix, cuda::Activate{activation, nullptr, out.data(), 16, nullptr}));
    MACHINE_CHECK(cudaDeviceSynchronize());
    const std::vector<float> got = out.get();
    for (int i = 0; i < 32; ++i) {
      const float v = w.bias[i % 16];
      const float expected = v < -1000 ? 0 : v > 1000 ? v : static_cast<float>(activated(activation, v));
      ASSERT_NEAR(got[i], expected, std::fabs(v) * 0x1p-20) << static_cast<int>(activation) << " of " << v;
    }
  }
}

struct HeadShape {
  int heads, kv_heads, head_size, rotary;
};

TEST_P(Matmul, RotatesHeadsAndFillsTheCache) {
  const int rows = 69, positions = 100, table_stride = 4, tables = 2, blocks = table_stride * tables + 1;
  for (const HeadShape& s : {HeadShape{2, 2, 64, 64}, {3, 1, 72, 0}, {2, 1, 80, 32}, {1, 1, 128, 128}, {1, 1, 256, 0}, {4, 2, 16, 16}}) {
    SCOPED_TRACE(testing::Message() << s.heads << " heads of " << s.head_size << ", rotary " << s.rotary);
    const int q_width = s.heads * s.head_size, kv_width = s.kv_heads * s.head_size, half = s.rotary / 2;
    cuda::RowOrder order;
    if (s.rotary > 0) order.head_size = s.head_size, order.rotary = s.rotary, order.rotated_rows = q_width + kv_width;
    const PlainMatrix w(numbers, format, q_width + 2 * kv_width, 96, order);
    const PlainOperand x(numbers, rows, w);
    const DeviceMatrix matrix(w);
    const DeviceOperand operand(x);
    const Products products(x, w);
    const std::vector<float> cosine = numbers.floats(positions * half + 1, -1, 1), sine = numbers.floats(positions * half + 1, -1, 1);

    std::vector<cuda::Place> places(rows);  // two sequences, each in blocks of its own that do not stand in order
    for (int r = 0; r < rows; ++r) places[r] = r < 40 ? cuda::Place{30 + r, 1} : cuda::Place{r - 40, 0};
    const std::vector<int32_t> table = {7, 2, -1, -1, 5, 1, 8, 3};
    const int layer_halves = 2 * s.kv_heads * cuda::kBlockRows * s.head_size, block_stride = layer_halves + 24;  // other layers lie between
    const Buffer<float> q(std::vector<float>(static_cast<size_t>(rows) * q_width, kUntouched)), device_cosine(cosine), device_sine(sine);
    const uint16_t poison = 0x7e55;
    const Buffer<uint16_t> cache(std::vector<uint16_t>(static_cast<size_t>(blocks) * block_stride, poison));
    const Buffer<cuda::Place> device_places(places);
    const Buffer<int32_t> device_table(table);
    cuda::Heads what;
    what.q = q.data();
    what.cache = {reinterpret_cast<__half*>(cache.data()), block_stride, s.kv_heads, s.head_size};
    what.places = device_places.data(), what.tables = {device_table.data(), table_stride};
    what.heads = s.heads, what.kv_heads = s.kv_heads, what.head_size = s.head_size, what.rotary = s.rotary;
    what.cosine = device_cosine.data(), what.sine = device_sine.data();
    MACHINE_CHECK(matmul(launch, operand.operand, rows, matrix.matrix, what));
    MACHINE_CHECK(cudaDeviceSynchronize());

    std::vector<float> expected_q, bound_q;
    std::vector<uint16_t> got_cache = cache.get();
    for (int r = 0; r < rows; ++r) {
      const int position = places[r].position, block = table[places[r].table * table_stride + position / cuda::kBlockRows];
      for (int n = 0; n < w.out; ++n) {
        const int head = n / s.head_size, d = n % s.head_size;
        const auto y = [&](int row) { return products.y[static_cast<size_t>(r) * w.out + row]; };
        const auto within = [&](int row) { return products.bound[static_cast<size_t>(r) * w.out + row]; };
        float value = y(n), bound = within(n);
        if (head < s.heads + s.kv_heads && d < s.rotary) {
          const int pair = d < half ? n + half : n - half;
          const float c = cosine[position * half + d % half], sn = sine[position * half + d % half];
          const float ac = value * c, bs = y(pair) * sn;
          value = d < half ? ac - bs : ac + bs;
          bound = bound == 0 ? 0 : bound + within(pair) + std::fabs(value) * 0x1p-22f + 0x1p-21f;
        }
        if (head < s.heads) {
          expected_q.push_back(value), bound_q.push_back(bound);
          continue;
        }
        const size_t at =
            static_cast<size_t>(block) * block_stride + ((head - s.heads) * cuda::kBlockRows + position % cuda::kBlockRows) * s.head_size + d;
        if (bound == 0) {
          ASSERT_EQ(got_cache[at], to_half(value)) << "row " << r << " of qkv " << n;
        } else {
          ASSERT_NEAR(from_half(got_cache[at]), value, bound + std::fabs(value) * 0x1p-11f + 0x1p-25f) << "row " << r << " of qkv " << n;
        }
        got_cache[at] = poison;  // seen
      }
    }
    compare(q.get(), q_width, expected_q, q_width, bound_q);
    EXPECT_EQ(std::count(got_cache.begin(), got_cache.end(), poison), static_cast<int64_t>(got_cache.size())) << "nothing else was written";
  }
}

TEST_P(Matmul, OperandsOfAnotherKindAreRefused) {
  const PlainMatrix w(numbers, format, 16, 64);
  const DeviceMatrix matrix(w);
  const PlainOperand x(numbers, 1, w);
  const DeviceOperand operand(x);
  cuda::Operand other = operand.operand;
  other.wide = !other.wide;
  EXPECT_EQ(matmul(launch, other, 1, matrix.matrix, cuda::Store{}), cudaErrorInvalidValue);
  other = operand.operand;
  other.depth = 32;
  EXPECT_EQ(matmul(launch, other, 1, matrix.matrix, cuda::Store{}), cudaErrorInvalidValue);
  cuda::Heads heads;
  heads.rotary = 16;
  EXPECT_EQ(matmul(launch, operand.operand, 1, matrix.matrix, heads), cudaErrorInvalidValue);
}

std::string name_of(const testing::TestParamInfo<std::tuple<Format, int>>& info) {
  const char* const formats[] = {"s8", "s8_wide", "f16"};
  return std::string(formats[static_cast<int>(std::get<0>(info.param))]) + (std::get<1>(info.param) == kLarge ? "_large" : "_small");
}
constexpr Format kFormats[] = {Format::kS8, Format::kS8Wide, Format::kF16};
INSTANTIATE_TEST_SUITE_P(All, Matmul, testing::Combine(testing::ValuesIn(kFormats), testing::Values(kLarge, kSmall)), name_of);

}  // namespace
}  // namespace mipha::test
