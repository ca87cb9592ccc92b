// AMX where no processor has it: on the tile machine, which carries out the instructions of the shipped kernels. Its sums over every remainder are
// those of kernels_s8_test.
#include <gtest/gtest.h>

#include "core/cpu_features.h"

TEST(AmxState, NeedsTheProcessorTheKernelAndThePermission) {
  using mipha::Amx;
  using mipha::amx_state;
  static int asked;
  asked = 0;
  const auto yes = [] { return ++asked > 0; };
  const auto no = [] { return ++asked < 0; };
  constexpr uint32_t kTile = 1u << 24, kInt8 = 1u << 25;
  constexpr uint64_t kConfiguration = 1ull << 17, kData = 1ull << 18;
  EXPECT_EQ(amx_state(0, ~0ull, yes), Amx::kAbsent);
  EXPECT_EQ(amx_state(kTile, ~0ull, yes), Amx::kAbsent);
  EXPECT_EQ(amx_state(kInt8, ~0ull, yes), Amx::kAbsent);
  EXPECT_EQ(amx_state(~(kTile | kInt8), ~0ull, yes), Amx::kAbsent);
  EXPECT_EQ(amx_state(kTile | kInt8, 0xe7, yes), Amx::kRefused) << "an older kernel";
  EXPECT_EQ(amx_state(kTile | kInt8, kConfiguration, yes), Amx::kRefused);
  EXPECT_EQ(amx_state(kTile | kInt8, kData, yes), Amx::kRefused);
  EXPECT_EQ(asked, 0) << "a permission that is of no use is not asked for";
  EXPECT_EQ(amx_state(kTile | kInt8, kConfiguration | kData, no), Amx::kRefused);
  EXPECT_EQ(amx_state(kTile | kInt8, kConfiguration | kData, yes), Amx::kGranted);
  EXPECT_EQ(asked, 2);
}

#if defined(__x86_64__)

#include <random>
#include <vector>

#include "backend/cpu/amx_check.h"
#include "backend/cpu/amx_tiles.h"
#include "backend/cpu/matmul.h"
#include "test/support/kernel_rows.h"

namespace mipha::cpu {
namespace {

using test::TileMachine;

class AmxEmulated : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::emulated_row()) GTEST_SKIP() << "the tile machine needs a processor with AVX-512 VNNI and without AMX";
    machine_ = std::make_unique<TileMachine>();
    TileMachine::take_counts();
  }
  void TearDown() override {
    TileMachine::forget_after_ms(0);
    EXPECT_FALSE(TileMachine::holds_tiles());
  }

  /// The work of one call on zeros.
  test::TileCounts counts_of(int rows, int panels, int in) {
    std::vector<int8_t> a(static_cast<size_t>(rows) * in), weights(static_cast<size_t>(panels) * kPanel * in);
    std::vector<int32_t> sums(panels * kPanel), acc(static_cast<size_t>(rows) * panels * kPanel);
    kAmxKernels.gemm_s8(a.data(), in, rows, in, weights.data(), panels, sums.data(), acc.data());
    return TileMachine::take_counts();
  }

  static TileShapes shapes(int rows, int row_bytes) {
    TileShapes shapes;
    for (int tile = 0; tile < 8; ++tile) {
      shapes.rows[tile] = static_cast<uint8_t>(rows);
      shapes.row_bytes[tile] = static_cast<uint16_t>(row_bytes);
    }
    return shapes;
  }

 private:
  std::unique_ptr<TileMachine> machine_;
};
using AmxEmulatedDeathTest = AmxEmulated;

TEST_F(AmxEmulated, LoadsEachTileForTwoProductsAndConfiguresOnce) {
  const int steps = 10, in = steps * kDepthStep;
  const auto square = counts_of(32, 4, in);
  EXPECT_EQ(square.configurations, 1);
  EXPECT_EQ(square.products, 8 * steps);
  EXPECT_EQ(square.loads, 8 * steps);
  EXPECT_EQ(square.stores, 8);
  const auto most = counts_of(48, 4, in);
  EXPECT_EQ(most.configurations, 1);
  EXPECT_EQ(most.products, 12 * steps);
  EXPECT_EQ(most.loads, 13 * steps);
  const auto few = counts_of(2, 4, in);
  EXPECT_EQ(few.products, 4 * steps);
  EXPECT_EQ(few.loads, 5 * steps) << "the weights pass once";
  const auto odd = counts_of(17, 3, in);
  EXPECT_EQ(odd.products, 6 * steps);
  EXPECT_EQ(odd.stores, 6);
  EXPECT_EQ(counts_of(1, 4, in).configurations, 0) << "one row is for vectors";
}

TEST_F(AmxEmulated, ThreadsMultiplyAsTheScalarTwinDoes) {
  constexpr int kCount = 75, kIn = 200, kOut = 600;
  std::mt19937 random(7);
  std::vector<int8_t> weight(static_cast<size_t>(kOut) * kIn);
  for (auto& value : weight) value = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  std::vector<float> x(static_cast<size_t>(kCount) * kIn), scale(kOut, 0.01f);
  for (auto& value : x) value = std::normal_distribution<float>(0, 1)(random);

  PackedLinear linear;
  linear.out = kOut;
  linear.in = kIn;
  std::vector<int8_t> tiles(linear.bytes());
  std::vector<int32_t> sums(linear.padded_out());
  pack_panels(weight.data(), linear, 0, linear.panels(), tiles.data(), sums.data());
  linear.tiles = tiles.data();
  linear.sums = sums.data();
  linear.scale = scale.data();

  const auto multiply = [&](const Kernels& kernels, int threads) {
    ThreadPool pool(threads);
    const Team team = {kernels, pool};
    std::vector<float> row_scale(kCount), out(static_cast<size_t>(kCount) * kOut);
    std::vector<int8_t> quantized(static_cast<size_t>(kCount) * linear.padded_in());
    Activations rows;
    rows.values = x.data();
    rows.quantized = quantized.data();
    rows.scale = row_scale.data();
    rows.count = kCount;
    rows.width = rows.stride = kIn;
    quantize(team, rows);
    matmul(team, linear, rows, Epilogue::kStore, out.data(), kOut);
    EXPECT_FALSE(TileMachine::holds_tiles()) << "the caller's own thread takes part";
    pool.each(threads, [](int, int) { EXPECT_FALSE(TileMachine::holds_tiles()); });
    return out;
  };
  const std::vector<float> expected = multiply(kScalarKernels, 1);
  for (int round = 0; round < 5; ++round) EXPECT_EQ(multiply(kAmxKernels, 4), expected);
}

TEST_F(AmxEmulated, ASystemThatLosesTilesIsNoticed) {
  EXPECT_TRUE(amx_is_right());
  TileMachine::forget_after_ms(1);
  EXPECT_FALSE(amx_is_right());
}

// What the manual forbids must not pass unseen; a processor would end the process too.
TEST_F(AmxEmulatedDeathTest, WhatTheManualForbidsEndsTheProcess) {
  EXPECT_EXIT(tile_zero<0>(), testing::ExitedWithCode(1), "without a configuration");
  EXPECT_EXIT(tile_configure(shapes(17, 64)), testing::ExitedWithCode(1), "larger than 16 rows of 64 bytes");
  EXPECT_EXIT(tile_configure(shapes(16, 68)), testing::ExitedWithCode(1), "larger than 16 rows of 64 bytes");
  EXPECT_EXIT(tile_configure(shapes(16, 0)), testing::ExitedWithCode(1), "without columns");
  TileShapes reserved = shapes(16, 64);
  reserved.rows[8] = 1;
  EXPECT_EXIT(tile_configure(reserved), testing::ExitedWithCode(1), "reserved bytes");
  TileShapes palette = shapes(16, 64);
  palette.palette = 2;
  EXPECT_EXIT(tile_configure(palette), testing::ExitedWithCode(1), "palette");
  const auto after = [](const TileShapes& shapes, void (*body)()) {
    tile_configure(shapes);
    body();
  };
  EXPECT_EXIT(after(shapes(0, 0), tile_zero<3>), testing::ExitedWithCode(1), "gives no rows");
  EXPECT_EXIT(after(shapes(16, 64), (tile_multiply<1, 1, 2>)), testing::ExitedWithCode(1), "one tile and itself");
  EXPECT_EXIT(after(shapes(15, 64), (tile_multiply<0, 1, 2>)), testing::ExitedWithCode(1), "do not fit");
  EXPECT_EXIT(after(shapes(16, 63), (tile_multiply<0, 1, 2>)), testing::ExitedWithCode(1), "no whole words");
  EXPECT_EXIT(asm volatile("ud2"), testing::ExitedWithCode(1), "none of AMX");
}

}  // namespace
}  // namespace mipha::cpu

#endif
