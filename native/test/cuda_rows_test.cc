// Norms and operands on the CUDA backend against the CPU's definitions, on the machine without a GPU.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/cpu/tables.h"
#include "test/machine/machine.h"
#include "test/support/cuda_matrix.h"

namespace mipha::test {
namespace {

const cuda::Launch kLaunch{nullptr, 1};

class Rows : public testing::Test {
 protected:
  Numbers numbers{11};
  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }
};

/// Rows with a NaN behind each, some of them special.
struct Sample {
  int count, width, stride;
  std::vector<float> values;

  Sample(Numbers& numbers, int count, int width) : count(count), width(width), stride(width + 5), values(static_cast<size_t>(count) * stride, NAN) {
    for (int r = 0; r < count; ++r) {
      const float size = std::ldexp(1.0f, numbers.below(40) - 20);
      for (int i = 0; i < width; ++i) values[r * stride + i] = numbers.between(-size, size);
    }
  }
  float* row(int r) { return &values[static_cast<size_t>(r) * stride]; }
  const float* row(int r) const { return &values[static_cast<size_t>(r) * stride]; }
};

constexpr int kWidths[] = {1, 31, 216, 257, 576, 2560, 4304};

struct Made {
  std::vector<int8_t> bytes;
  std::vector<uint16_t> halves;
  std::vector<float> scale;
};
/// prepare() of a sample; what it does not write stays 0x55.
Made prepared(const Sample& sample, const std::vector<float>& smooth, bool wide) {
  const int depth = cuda::rounded_up(sample.width, 32);
  const Buffer<float> in(sample.values), device_smooth(smooth.empty() ? std::vector<float>{NAN} : smooth),
      scale(std::vector<float>(sample.count, -1));
  const Buffer<int8_t> bytes(std::vector<int8_t>(sample.count * depth, 0x55));
  const Buffer<uint16_t> halves(std::vector<uint16_t>(sample.count * depth, 0x5555));
  const cuda::Operand out{wide ? static_cast<void*>(halves.data()) : bytes.data(), scale.data(), depth, wide};
  const float* const factors = smooth.empty() ? nullptr : device_smooth.data();
  MACHINE_CHECK(cuda::prepare(kLaunch, in.data(), sample.stride, sample.count, sample.width, factors, out));
  MACHINE_CHECK(cudaDeviceSynchronize());
  return {bytes.get(), halves.get(), scale.get()};
}

TEST_F(Rows, AreQuantizedAsOnTheCpu) {
  for (const int width : kWidths) {
    for (const bool smoothed : {false, true}) {
      Sample sample(numbers, 9, width);
      for (int i = 0; i < width; ++i) {
        sample.row(1)[i] = 0;
        sample.row(2)[i] = std::ldexp(sample.row(2)[i], -125);           // below the smallest magnitude
        sample.row(3)[i] = static_cast<float>(i % 255 - 127) / 2;        // ties
        sample.row(4)[i] = std::ldexp(numbers.between(-1, 1), i % 127);  // to the end of the range
      }
      sample.row(5)[width / 2] = NAN;
      sample.row(6)[width / 2] = INFINITY;
      sample.row(7)[width - 1] = -INFINITY;
      const std::vector<float> smooth = smoothed ? numbers.floats(width, 0.5f, 2) : std::vector<float>();
      const Made made = prepared(sample, smooth, false);
      const int depth = cuda::rounded_up(width, 32);
      for (int r = 0; r < sample.count; ++r) {
        std::vector<float> row(sample.row(r), sample.row(r) + width);
        for (int i = 0; smoothed && i < width; ++i) row[i] *= smooth[i];
        std::vector<int8_t> expected(depth);
        const float scale = cpu::kScalarKernels.quantize(row.data(), width, depth, expected.data());
        ASSERT_EQ(made.scale[r], scale) << "row " << r << " of " << width;
        ASSERT_EQ(std::vector<int8_t>(made.bytes.begin() + r * depth, made.bytes.begin() + (r + 1) * depth), expected)
            << "row " << r << " of " << width;
      }
    }
  }
}

TEST_F(Rows, AreHalvedWithoutLossOfRange) {
  for (const int width : kWidths) {
    Sample sample(numbers, 6, width);
    for (int i = 0; i < width; ++i) {
      sample.row(1)[i] = 0;
      sample.row(2)[i] = i % 2 == 0 ? 3.4e38f : -1e38f;
      sample.row(3)[i] = i % 3 == 0 ? 0x1p-149f : 0x1p-140f;
    }
    const Made made = prepared(sample, {}, true);
    const int depth = cuda::rounded_up(width, 32);
    for (int r = 0; r < sample.count; ++r) {
      float peak = 0;
      for (int i = 0; i < width; ++i) peak = std::max(peak, std::fabs(sample.row(r)[i]));
      int exponent;
      ASSERT_EQ(std::frexp(made.scale[r], &exponent), 0.5f) << made.scale[r];  // a power of two
      const float largest = peak / made.scale[r];
      EXPECT_TRUE(largest < 4 && (largest >= 1 || peak < 0x1p-126f)) << peak << " / " << made.scale[r];
      for (int i = 0; i < depth; ++i) {
        const uint16_t expected = i < width ? to_half(sample.row(r)[i] / made.scale[r]) : 0;
        ASSERT_EQ(made.halves[r * depth + i], expected) << "row " << r << " of " << width << ", " << i;
      }
    }
  }
}

/// A norm in double precision, and how far FP32 may be from it.
struct Expected {
  std::vector<double> y, bound;
};
Expected normed(const Sample& sample, int r, NormKind kind, float epsilon, const std::vector<float>& gain, const std::vector<float>& bias) {
  const float* const x = sample.row(r);
  double sum = 0, squares = 0, largest = 0;
  for (int i = 0; i < sample.width; ++i) sum += x[i], largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
  const double mean = kind == NormKind::kLayer ? sum / sample.width : 0;
  for (int i = 0; i < sample.width; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const double inverse = 1 / std::sqrt(squares / sample.width + epsilon);
  Expected expected;
  for (int i = 0; i < sample.width; ++i) {
    const double value = (x[i] - mean) * inverse * gain[i];
    expected.y.push_back(value + (kind == NormKind::kLayer ? bias[i] : 0));
    // A thread adds width / 256 values and eight steps join 256 of them, in the mean and in the squares.
    const double steps = sample.width / 256 + 16;
    expected.bound.push_back((std::fabs(value) * steps + largest * inverse * std::fabs(gain[i]) * steps + std::fabs(expected.y.back())) * 0x1p-23);
  }
  return expected;
}

TEST_F(Rows, AreNormalized) {
  for (const NormKind kind : {NormKind::kLayer, NormKind::kRms}) {
    for (const int width : kWidths) {
      Sample sample(numbers, 5, width);
      for (int i = 0; i < width; ++i) sample.row(1)[i] = 0, sample.row(2)[i] += 1000;  // far from its mean
      const std::vector<float> gain = numbers.floats(width, -2, 2), bias = numbers.floats(width, -1, 1);
      const Buffer<float> in(sample.values), device_gain(gain), device_bias(bias);
      const float* const with_bias = kind == NormKind::kLayer ? device_bias.data() : nullptr;
      const cuda::Normed what{in.data(), sample.stride, sample.count, width, kind, 1e-5f, device_gain.data(), with_bias};
      const int depth = cuda::rounded_up(width, 32);
      const Buffer<int8_t> bytes(sample.count * depth);
      const Buffer<uint16_t> halves(sample.count * depth);
      const Buffer<float> scale(sample.count), wide_scale(sample.count);
      MACHINE_CHECK(cuda::normalize(kLaunch, what, cuda::Operand{bytes.data(), scale.data(), depth, false}));
      MACHINE_CHECK(cuda::normalize(kLaunch, what, cuda::Operand{halves.data(), wide_scale.data(), depth, true}));
      MACHINE_CHECK(cuda::normalize(kLaunch, what, in.data(), sample.stride));  // in place
      MACHINE_CHECK(cudaDeviceSynchronize());
      const std::vector<float> got = in.get(), got_scale = scale.get(), got_wide_scale = wide_scale.get();
      const std::vector<int8_t> got_bytes = bytes.get();
      const std::vector<uint16_t> got_halves = halves.get();
      for (int r = 0; r < sample.count; ++r) {
        const float* const row = &got[r * sample.stride];
        const Expected expected = normed(sample, r, kind, 1e-5f, gain, bias);
        for (int i = 0; i < width; ++i) {
          ASSERT_LE(std::fabs(row[i] - expected.y[i]), expected.bound[i])
              << row[i] << ", expected " << expected.y[i] << ": row " << r << " of " << width;
          ASSERT_EQ(got_halves[r * depth + i], to_half(row[i] / got_wide_scale[r]));
        }
        EXPECT_TRUE(std::isnan(row[width])) << "what lies behind a row";
        std::vector<int8_t> quantized(depth);
        ASSERT_EQ(got_scale[r], cpu::kScalarKernels.quantize(row, width, depth, quantized.data()));
        ASSERT_EQ(std::vector<int8_t>(got_bytes.begin() + r * depth, got_bytes.begin() + (r + 1) * depth), quantized);
        for (int i = width; i < depth; ++i) ASSERT_EQ(got_halves[r * depth + i], 0);
      }
    }
  }
}

}  // namespace
}  // namespace mipha::test
