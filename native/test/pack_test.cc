// Packing: the documented place of every weight, zero padding, sums, ranges packed apart, and the value that is refused.
#include "backend/cpu/pack.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/error.h"

namespace mipha::cpu {
namespace {

std::vector<int8_t> random_weight(const Packed& shape) {
  std::mt19937 random(9);
  std::vector<int8_t> weight(static_cast<size_t>(shape.out) * shape.in);
  for (auto& value : weight) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  return weight;
}

const Packed kShapes[] = {{1, 1}, {16, 64}, {17, 65}, {50, 588}, {31, 808}, {33, 4304}, {216, 216}};

TEST(Pack, Sizes) {
  const Packed shape{50, 588};
  EXPECT_EQ(shape.panels(), 4);
  EXPECT_EQ(shape.padded_out(), 64);
  EXPECT_EQ(shape.padded_in(), 640);
  EXPECT_EQ(shape.panel_bytes(), 640u * 16);
  EXPECT_EQ(shape.bytes(), 640u * 64);
  EXPECT_EQ((Packed{51200, 65536}).bytes(), size_t{51200} * 65536);
}

TEST(Pack, EveryWeightHasItsPlaceAndPaddingIsZero) {
  for (const Packed& shape : kShapes) {
    const auto weight = random_weight(shape);
    std::vector<int8_t> panels(shape.bytes(), 99);
    std::vector<int32_t> sums(shape.padded_out(), 99);
    pack_panels(weight.data(), shape, 0, shape.panels(), panels.data(), sums.data());
    for (int n = 0; n < shape.padded_out(); ++n) {
      int32_t sum = 0;
      for (int k = 0; k < shape.padded_in(); ++k) {
        const int8_t expected = n < shape.out && k < shape.in ? weight[static_cast<size_t>(n) * shape.in + k] : 0;
        const size_t place = ((static_cast<size_t>(n / 16) * (shape.padded_in() / 4) + k / 4) * 16 + n % 16) * 4 + k % 4;
        ASSERT_EQ(panels[place], expected) << shape.out << " x " << shape.in << " at " << n << ", " << k;
        sum += expected;
      }
      ASSERT_EQ(sums[n], sum) << n;
    }
  }
}

TEST(Pack, UnpackGivesBackThePaddedMatrix) {
  for (const Packed& shape : kShapes) {
    const auto weight = random_weight(shape);
    std::vector<int8_t> panels(shape.bytes()), back(shape.bytes(), 99);
    std::vector<int32_t> sums(shape.padded_out());
    pack_panels(weight.data(), shape, 0, shape.panels(), panels.data(), sums.data());
    unpack(panels.data(), shape, back.data());
    for (int n = 0; n < shape.padded_out(); ++n) {
      for (int k = 0; k < shape.padded_in(); ++k) {
        const int8_t expected = n < shape.out && k < shape.in ? weight[static_cast<size_t>(n) * shape.in + k] : 0;
        ASSERT_EQ(back[static_cast<size_t>(n) * shape.padded_in() + k], expected);
      }
    }
  }
}

TEST(Pack, RangesPackedApartGiveTheWhole) {
  const Packed shape{170, 588};
  const auto weight = random_weight(shape);
  std::vector<int8_t> whole(shape.bytes()), parts(shape.bytes(), 99);
  std::vector<int32_t> sums(shape.padded_out()), part_sums(shape.padded_out(), 99);
  pack_panels(weight.data(), shape, 0, shape.panels(), whole.data(), sums.data());
  pack_panels(weight.data(), shape, 4, shape.panels() - 4, parts.data(), part_sums.data());
  for (size_t i = 0; i < 4 * shape.panel_bytes(); ++i) ASSERT_EQ(parts[i], 99) << "a range touched another one's panels";
  pack_panels(weight.data(), shape, 0, 1, parts.data(), part_sums.data());
  pack_panels(weight.data(), shape, 1, 3, parts.data(), part_sums.data());
  EXPECT_EQ(parts, whole);
  EXPECT_EQ(part_sums, sums);
}

TEST(Pack, SumsHoldTheLargestMagnitudes) {
  const Packed shape{17, 10240};
  for (const int8_t value : {int8_t{127}, int8_t{-127}}) {
    const std::vector<int8_t> weight(static_cast<size_t>(shape.out) * shape.in, value);
    std::vector<int8_t> panels(shape.bytes());
    std::vector<int32_t> sums(shape.padded_out(), 99);
    pack_panels(weight.data(), shape, 0, shape.panels(), panels.data(), sums.data());
    for (int n = 0; n < shape.padded_out(); ++n) ASSERT_EQ(sums[n], n < shape.out ? value * shape.in : 0) << n;
  }
}

TEST(Pack, RefusesMinus128WhereverItIs) {
  const Packed shape{50, 588};
  for (const auto& [row, column] : {std::pair{0, 0}, {49, 587}, {17, 63}, {17, 64}, {48, 576}, {31, 15}, {31, 16}}) {
    auto weight = random_weight(shape);
    weight[static_cast<size_t>(row) * shape.in + column] = -128;
    weight.back() = -128;  // the first one is named
    std::vector<int8_t> panels(shape.bytes());
    std::vector<int32_t> sums(shape.padded_out());
    try {
      pack_panels(weight.data(), shape, 0, shape.panels(), panels.data(), sums.data());
      ADD_FAILURE() << "-128 was packed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kModelFormat);
      EXPECT_NE(std::string(error.what()).find("row " + std::to_string(row) + ", column " + std::to_string(column)), std::string::npos)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace mipha::cpu
