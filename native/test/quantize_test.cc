#include "package/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "core/error.h"
#include "core/half.h"

namespace mipha {
namespace {

struct Quantized {
  std::vector<int8_t> weight;
  std::vector<float> scale;
};

Quantized quantize(const void* source, SourceType type, int64_t rows, int64_t columns) {
  Quantized out{std::vector<int8_t>(rows * columns, 99), std::vector<float>(rows, -1)};
  quantize_rows(source, type, rows, columns, out.weight.data(), out.scale.data());
  return out;
}

Quantized quantize(const std::vector<float>& source, int64_t rows) {
  return quantize(source.data(), SourceType::kF32, rows, static_cast<int64_t>(source.size()) / rows);
}

/// Bell-shaped values with a few outliers in integer arithmetic only: the same on every machine and with every library.
std::vector<float> heavy_tailed(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count);
  for (float& value : values) {
    int sum = 0;
    for (int i = 0; i < 6; ++i) sum += static_cast<int>(random() >> 22) - 512;
    if (random() % 97 == 0) sum *= 4;
    value = static_cast<float>(sum) * 0x1p-16f;
  }
  return values;
}

int8_t nearest(float value, float scale) {
  const float scaled = std::nearbyint(value * (1 / scale));
  return static_cast<int8_t>(scaled > 127 ? 127 : scaled < -127 ? -127 : scaled);
}

double squared_error(const float* row, size_t columns, float scale) {
  double sum = 0;
  for (size_t i = 0; i < columns; ++i) {
    const double difference = row[i] - static_cast<double>(nearest(row[i], scale)) * scale;
    sum += difference * difference;
  }
  return sum;
}

TEST(Quantize, FindsTheScaleThatBruteForceFinds) {
  for (const size_t columns : {1, 2, 3, 7, 8, 9, 255, 256, 257, 588, 808, 2560}) {
    const size_t rows = 24;
    const std::vector<float> source = heavy_tailed(rows * columns, static_cast<unsigned>(columns));
    const Quantized out = quantize(source, rows);
    for (size_t r = 0; r < rows; ++r) {
      const float* const row = source.data() + r * columns;
      float largest = 0;
      for (size_t i = 0; i < columns; ++i) largest = std::max(largest, std::fabs(row[i]));
      if (largest == 0) continue;
      double least = std::numeric_limits<double>::infinity();
      bool is_candidate = false;
      for (int i = 0; i < 14; ++i) {
        const float scale = largest / 127 * (1 - i / 64.0f);
        least = std::min(least, squared_error(row, columns, scale));
        is_candidate = is_candidate || scale == out.scale[r];
      }
      EXPECT_TRUE(is_candidate) << out.scale[r];
      // The search adds blocks of 256 squares in float: 64 additions in each lane, each off by at most epsilon / 2 of the running sum.
      const double bound = 1 + 64 * std::numeric_limits<float>::epsilon();
      EXPECT_LE(squared_error(row, columns, out.scale[r]), least * bound + 1e-6 * out.scale[r] * out.scale[r]) << "row " << r << " of " << columns;
      for (size_t i = 0; i < columns; ++i) ASSERT_EQ(out.weight[r * columns + i], nearest(row[i], out.scale[r])) << i;
    }
  }
}

TEST(Quantize, SaturatesAnOutlierOnlyWhenThatPays) {
  std::vector<float> row(4096, 0.0f);
  for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(static_cast<int>(i % 1024) - 512) / 512;  // spread over [-1, 1)
  const Quantized flat = quantize(row, 1);
  EXPECT_FLOAT_EQ(flat.scale[0], 1.0f / 127);
  row[17] = 1.15f;
  const Quantized spiked = quantize(row, 1);
  EXPECT_LT(spiked.scale[0], 1.14f / 127);
  EXPECT_EQ(spiked.weight[17], 127);
  row[17] = -1.15f;
  EXPECT_EQ(quantize(row, 1).weight[17], -127);
  row[17] = 100;
  EXPECT_GT(quantize(row, 1).scale[0], 95.0f / 127);  // its own error would be the largest
}

TEST(Quantize, RoundsHalfToEven) {
  std::vector<float> row = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 3.4999f, 126.5f};
  const Quantized out = quantize(row, 1);
  ASSERT_EQ(out.scale[0], 1.0f);
  EXPECT_EQ(out.weight, (std::vector<int8_t>{127, 0, 2, 2, 0, -2, -2, 3, 126}));
}

TEST(Quantize, GivesRowsOfZerosScaleZero) {
  const std::vector<float> source = {0, -0.0f, 0, 1, -2, 1, 0x1p-120f, -0x1p-130f, 0};
  const Quantized out = quantize(source, 3);
  EXPECT_EQ(out.scale[0], 0);
  EXPECT_GT(out.scale[1], 0);
  EXPECT_EQ(out.scale[2], 0);
  EXPECT_EQ(std::vector<int8_t>(out.weight.begin(), out.weight.begin() + 3), (std::vector<int8_t>(3, 0)));
  EXPECT_EQ(std::vector<int8_t>(out.weight.begin() + 6, out.weight.end()), (std::vector<int8_t>(3, 0)));
}

TEST(Quantize, HoldsAtBothEndsOfTheRange) {
  const float largest = std::numeric_limits<float>::max();
  for (const float top : {largest, kSmallestRow}) {
    const Quantized out = quantize({top, -top, top / 2, 0}, 1);
    EXPECT_TRUE(std::isfinite(out.scale[0]));
    EXPECT_GT(out.scale[0], 0);
    EXPECT_EQ(out.weight[0], 127);
    EXPECT_EQ(out.weight[1], -127);
    EXPECT_EQ(out.weight[3], 0);
  }
}

TEST(Quantize, ReadsEverySourceTypeAtAnyAlignment) {
  const size_t rows = 5, columns = 131;
  const std::vector<float> source = heavy_tailed(rows * columns, 7);
  for (const SourceType type : {SourceType::kBF16, SourceType::kF16, SourceType::kF32}) {
    const size_t size = type == SourceType::kF32 ? 4 : 2;
    std::vector<unsigned char> bytes(source.size() * size + 1);
    std::vector<float> rounded(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
      rounded[i] = source[i];
      uint16_t bits = to_half(source[i]);
      if (type == SourceType::kBF16) bits = static_cast<uint16_t>(bits_of_float(source[i]) >> 16);
      if (type == SourceType::kF16) rounded[i] = from_half(bits);
      if (type == SourceType::kBF16) rounded[i] = from_bfloat16(bits);
      std::memcpy(bytes.data() + 1 + i * size, size == 4 ? static_cast<const void*>(&source[i]) : &bits, size);
    }
    const Quantized out = quantize(bytes.data() + 1, type, rows, columns), expected = quantize(rounded, rows);
    EXPECT_EQ(out.weight, expected.weight);
    EXPECT_EQ(out.scale, expected.scale);
  }
}

TEST(Quantize, NamesRowAndColumnOfWhatIsNoNumber) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> source = heavy_tailed(300 * 3, 1);
    source[300 * 2 + 271] = bad;
    try {
      quantize(source, 3);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kModelFormat);
      EXPECT_NE(std::string(error.what()).find("at row 2, column 271"), std::string::npos) << error.what();
      EXPECT_EQ(error.details[0].second, 2);
      EXPECT_EQ(error.details[1].second, 271);
    }
  }
  const float bad = std::numeric_limits<float>::quiet_NaN();
  int8_t weight;
  float scale;
  try {
    quantize_rows(&bad, SourceType::kF32, 1, 1, &weight, &scale, 1000);  // a part of a larger matrix
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.details[0].second, 1000);
  }
  const uint16_t half_nan = 0x7e00;
  EXPECT_THROW(quantize(&half_nan, SourceType::kF16, 1, 1), Error);
}

TEST(Quantize, GivesTheSameBytesOnEveryMachine) {
  const Quantized out = quantize(heavy_tailed(64 * 777, 42), 64);
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  const auto add = [&](const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
  };
  add(out.weight.data(), out.weight.size());
  add(out.scale.data(), out.scale.size() * sizeof(float));
  EXPECT_EQ(hash, 968517279090196756u);  // pinned on x86-64
}

}  // namespace
}  // namespace mipha
