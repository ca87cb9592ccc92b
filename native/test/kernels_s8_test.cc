// The integer kernels, bit for bit: gemm_s8 against a plain triple loop over the unpacked weights, quantize against the scalar twin.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/pack.h"
#include "core/cpu_features.h"
#include "test/support/kernel_rows.h"

namespace mipha::cpu {
namespace {

using Values = std::vector<int8_t>;
using Fill = std::function<int8_t(int row, int column)>;

struct Pattern {
  const char* name;
  Fill a, weight;
};

std::vector<Pattern> patterns() {
  static std::mt19937 random(42);
  const Fill any = [](int, int) { return static_cast<int8_t>(static_cast<int>(random() % 255) - 127); };
  const Fill high = [](int, int) { return 127; }, low = [](int, int) { return -127; };
  const Fill alternating = [](int, int column) { return column % 2 ? -127 : 127; };
  const Fill rows = [](int row, int) { return row % 2 ? 127 : -127; };
  return {{"random", any, any},
          {"127 · 127", high, high},
          {"127 · −127", high, low},
          {"−127 · −127", low, low},
          {"alternating", alternating, alternating},
          {"rows", alternating, rows},
          {"random · 127", any, high}};
}

/// Moves a copy of `values` to an address `offset` elements past a 64-byte boundary.
template <typename T>
class Shifted {
 public:
  Shifted(const std::vector<T>& values, size_t offset) : store_(values.size() + offset + 64 / sizeof(T)) {
    void* at = store_.data();
    size_t space = store_.size() * sizeof(T);
    data_ = static_cast<T*>(std::align(64, values.size() * sizeof(T), at, space)) + offset;
    std::copy(values.begin(), values.end(), data_);
  }
  T* data() { return data_; }

 private:
  std::vector<T> store_;
  T* data_;
};

class GemmS8 : public test::KernelRow {
 protected:
  /// Random or saturated [rows, in] times [out, in], padded by the packer; every pointer `offset` elements off a cache line.
  void check(int rows, int out, int in, const Pattern& pattern, size_t offset) {
    const Packed shape{out, in};
    Values weight(static_cast<size_t>(out) * in), panels(shape.bytes(), 99);
    for (int n = 0; n < out; ++n) {
      for (int k = 0; k < in; ++k) weight[static_cast<size_t>(n) * in + k] = pattern.weight(n, k);
    }
    std::vector<int32_t> sums(shape.padded_out(), 99);
    pack_panels(weight.data(), shape, 0, shape.panels(), panels.data(), sums.data());

    const int a_stride = shape.padded_in() + static_cast<int>(offset);
    Values a(static_cast<size_t>(rows) * a_stride, 77);  // what lies between the rows must not count
    for (int m = 0; m < rows; ++m) {
      for (int k = 0; k < shape.padded_in(); ++k) a[static_cast<size_t>(m) * a_stride + k] = k < in ? pattern.a(m, k) : 0;
    }

    const int columns = shape.padded_out();
    std::vector<int32_t> expected(static_cast<size_t>(rows) * columns, 0);
    for (int m = 0; m < rows; ++m) {
      for (int n = 0; n < out; ++n) {
        int32_t sum = 0;
        for (int k = 0; k < in; ++k) sum += a[static_cast<size_t>(m) * a_stride + k] * weight[static_cast<size_t>(n) * in + k];
        expected[static_cast<size_t>(m) * columns + n] = sum;
      }
    }

    constexpr int32_t kGuard = 0x5a5a5a5a;
    std::vector<int32_t> found(expected.size() + 16, kGuard);
    for (auto& value : a) value = static_cast<int8_t>(value + kernels.activation_offset);
    Shifted<int8_t> shifted_a(a, offset), shifted_panels(panels, 63 - offset % 64);
    Shifted<int32_t> shifted_sums(sums, offset % 16), shifted_acc(found, (offset + 5) % 16);
    kernels.gemm_s8(shifted_a.data(), a_stride, rows, shape.padded_in(), shifted_panels.data(), shape.panels(), shifted_sums.data(),
                    shifted_acc.data());
    const std::string what = std::string(pattern.name) + ", rows " + std::to_string(rows) + ", out " + std::to_string(out) + ", in " +
                             std::to_string(in) + ", offset " + std::to_string(offset);
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_EQ(shifted_acc.data()[i], expected[i]) << what << ", element " << i;
    for (size_t i = expected.size(); i < found.size(); ++i) ASSERT_EQ(shifted_acc.data()[i], kGuard) << what << ": wrote past the end";
  }
};

TEST_P(GemmS8, EveryRemainder) {
  const auto all = patterns();
  for (int rows = 1; rows <= kMaxRows; ++rows) {
    for (int panels = 1; panels <= kMaxPanels; ++panels) {
      for (int in = 64; in <= 320; in += 64) {
        for (const Pattern& pattern : all) check(rows, panels * kPanel, in, pattern, 0);
      }
    }
  }
}

TEST_P(GemmS8, EveryMisalignment) {
  const auto all = patterns();
  for (size_t offset = 1; offset < 64; ++offset)
    check(1 + static_cast<int>(offset) % kMaxRows, (1 + offset % kMaxPanels) * kPanel, 128, all[0], offset);
}

TEST_P(GemmS8, SizesThatFillNoPanel) {
  const auto all = patterns();
  for (const int in : {1, 63, 65, 588, 808, 1023, 1025, 4304}) {
    for (const int out : {1, 15, 17, 50, 63}) check(1 + out % kMaxRows, out, in, all[in % all.size()], 3);
  }
}

TEST_P(GemmS8, DeepSums) {
  for (const Pattern& pattern : patterns()) {
    check(kMaxRows, kMaxPanels * kPanel, 4352, pattern, 0);
    check(1, kMaxPanels * kPanel, 10240, pattern, 0);
    check(3, kPanel, 10240, pattern, 0);
    check(13, 3 * kPanel, 2112, pattern, 0);  // a depth that kernels which divide it cannot divide evenly
  }
  check(2, kPanel, 65536, patterns()[1], 0);  // the deepest that the contract allows, at the largest sum
}

INSTANTIATE_TEST_SUITE_P(Row, GemmS8, testing::ValuesIn(test::all_rows()), test::row_name);

class Quantize : public test::KernelRow {
 protected:
  void without_offset(int8_t* q, int count) const {
    for (int i = 0; i < count; ++i) q[i] = static_cast<int8_t>(q[i] - kernels.activation_offset);
  }

  void check(const std::vector<float>& x, const std::string& what) {
    const Kernels& scalar = *find_kernels("scalar");
    const int count = static_cast<int>(x.size()), padded = Packed{1, count}.padded_in() + kDepthStep;
    Values expected(padded, 55), found(padded + 64, 55);
    const float expected_scale = scalar.quantize(x.data(), count, padded, expected.data());
    const float scale = kernels.quantize(x.data(), count, padded, found.data());
    EXPECT_EQ(std::memcmp(&scale, &expected_scale, sizeof scale), 0) << what << ": scale " << scale << ", expected " << expected_scale;
    without_offset(found.data(), padded);
    for (int i = 0; i < padded; ++i) ASSERT_EQ(found[i], expected[i]) << what << ", element " << i << " of " << count;
    for (int i = padded; i < padded + 64; ++i) ASSERT_EQ(found[i], 55) << what << ": wrote past the end";
    for (int i = 0; i < count; ++i) ASSERT_GE(found[i], -127) << what;
  }
};

TEST_P(Quantize, EveryRemainderAndMagnitude) {
  std::mt19937 random(5);
  for (int count = 1; count <= 200; ++count) {
    std::vector<float> x(count);
    const float magnitude = std::ldexp(1.0f, count - 100);
    for (auto& value : x) value = std::normal_distribution<float>(0, 1)(random) * magnitude;
    check(x, "normal");
  }
}

TEST_P(Quantize, TiesGoToEven) {
  std::vector<float> x(509);
  for (int i = 0; i < 509; ++i) x[i] = static_cast<float>(i - 254) / 2;  // the largest is 127: the factor is exactly 1
  check(x, "halves");
  Values q(512);
  EXPECT_EQ(kernels.quantize(x.data(), 509, 512, q.data()), 1.0f);
  without_offset(q.data(), 512);
  EXPECT_EQ(q[254 + 1], 0);       // 0.5
  EXPECT_EQ(q[254 + 3], 2);       // 1.5
  EXPECT_EQ(q[254 + 5], 2);       // 2.5
  EXPECT_EQ(q[254 - 253], -126);  // −126.5
  EXPECT_EQ(q[0], -127);
}

TEST_P(Quantize, Extremes) {
  using Limits = std::numeric_limits<float>;
  check(std::vector<float>(100, 0.0f), "zero");
  check(std::vector<float>(33, -0.0f), "negative zero");
  check({Limits::denorm_min(), -Limits::denorm_min(), 0.0f}, "denormals");
  check({Limits::min(), -Limits::min() / 3, 1e-40f}, "around the smallest normal");
  check({kSmallestMagnitude, -kSmallestMagnitude / 2, kSmallestMagnitude / 100}, "smallest that counts");
  check({std::nextafter(kSmallestMagnitude, 0.0f), 0.0f}, "largest that does not count");
  check({Limits::max(), -Limits::max(), Limits::max() / 2, 1.0f}, "largest");
  check({Limits::max(), 1e-40f}, "both ends");
  check({1.0f, Limits::quiet_NaN(), -1.0f}, "NaN");
  check({1.0f, Limits::infinity(), -Limits::infinity()}, "infinity");
  Values q(64, 1);
  const float zeros[4] = {};
  EXPECT_EQ(kernels.quantize(zeros, 4, 64, q.data()), 0.0f);
  without_offset(q.data(), 64);
  EXPECT_EQ(q, Values(64, 0));
}

TEST_P(Quantize, MisalignedRows) {
  std::mt19937 random(6);
  std::vector<float> x(300);
  for (auto& value : x) value = std::normal_distribution<float>(0, 3)(random);
  Values expected(320), found(320 + 64);
  for (int offset = 1; offset < 64; ++offset) {
    const float scale = find_kernels("scalar")->quantize(x.data() + offset % 16, 280, 320, expected.data());
    EXPECT_EQ(kernels.quantize(x.data() + offset % 16, 280, 320, found.data() + offset), scale);
    without_offset(found.data() + offset, 320);
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), found.begin() + offset)) << offset;
  }
}

INSTANTIATE_TEST_SUITE_P(Row, Quantize, testing::ValuesIn(test::all_rows()), test::row_name);

TEST(Dispatch, BestFirstScalarLast) {
  const KernelList list = kernels();
  ASSERT_GE(list.count, 1);
  EXPECT_STREQ(list.rows[list.count - 1]->name, "scalar");
  for (int i = 0; i < list.count; ++i) EXPECT_EQ(find_kernels(list.rows[i]->name), list.rows[i]);
  EXPECT_EQ(find_kernels("sse9"), nullptr);
  // Of the processor that qemu pretends to be (CMakeLists.txt).
  if (const char* best = std::getenv("MIPHA_BEST_ROW")) {
    EXPECT_STREQ(list.rows[0]->name, best);
  }
}

TEST(Dispatch, RowsFollowTheCpu) {
  const CpuFeatures& cpu = cpu_features();
  const bool avx2 = cpu.avx2 && cpu.fma && cpu.f16c;
  EXPECT_EQ(find_kernels("avx2") != nullptr, avx2);
  const bool avx512 = avx2 && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512dq && cpu.avx512vnni;
  EXPECT_EQ(find_kernels("avx512vnni") != nullptr, avx512);
  EXPECT_EQ(find_kernels("avx512bf16") != nullptr, avx512 && cpu.avx512bf16);
  EXPECT_EQ(find_kernels("amx") != nullptr, avx512 && cpu.amx == Amx::kGranted && !amx_refusal());
  EXPECT_EQ(amx_refusal() != nullptr, avx512 && cpu.amx != Amx::kAbsent && find_kernels("amx") == nullptr);
  EXPECT_EQ(find_kernels("dotprod") != nullptr, cpu.dotprod);
  EXPECT_EQ(find_kernels("i8mm") != nullptr, cpu.dotprod && cpu.i8mm);
}

TEST(Dispatch, EnvironmentForcesARowOnlyWithoutAName) {
  const char* before = std::getenv("MIPHA_ISA");
  const std::string saved = before ? before : "";
  unsetenv("MIPHA_ISA");
  EXPECT_EQ(find_kernels(nullptr), kernels().rows[0]);
  setenv("MIPHA_ISA", "scalar", 1);
  EXPECT_STREQ(find_kernels(nullptr)->name, "scalar");
  EXPECT_STREQ(find_kernels("")->name, "scalar");
  EXPECT_EQ(find_kernels(kernels().rows[0]->name), kernels().rows[0]);
  setenv("MIPHA_ISA", "sse9", 1);
  EXPECT_EQ(find_kernels(nullptr), kernels().rows[0]);
  if (before)
    setenv("MIPHA_ISA", saved.c_str(), 1);
  else
    unsetenv("MIPHA_ISA");
}

}  // namespace
}  // namespace mipha::cpu
