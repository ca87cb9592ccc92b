// The machine without a GPU computes what a device does: every operation against plain C++, the example kernels against plain loops.
#include "test/machine/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "test/machine/buffer.h"
#include "test/machine/kernels/arithmetic.h"
#include "test/machine/kernels/examples.h"
#include "test/machine/kernels/launch.h"

namespace mipha::machine {
namespace {

template <class... Pointers>
void run(const std::string& kernel, unsigned blocks, unsigned threads, Pointers*... pointers) {
  MACHINE_CHECK(kernels::launch(kernel, blocks, threads, nullptr, pointers...));
  MACHINE_CHECK(cudaDeviceSynchronize());
}

constexpr size_t kThreads = 256;

std::vector<int32_t> numbers(unsigned seed, size_t count = kThreads) {
  std::mt19937 random(seed);
  std::vector<int32_t> values{0, 1, -1, 2, 31, 32, 33, 63, INT32_MAX, INT32_MIN, 0x7FFF, -0x8000, 127, -128, 255, 65536};
  while (values.size() < count) values.push_back(static_cast<int32_t>(random() >> random() % 32));
  std::shuffle(values.begin(), values.end(), random);
  return values;
}

TEST(Integers, AreThoseOfTheHost) {
  const auto a = numbers(1);
  auto b = numbers(2);
  std::replace(b.begin(), b.end(), 0, 5);
  const Buffer<int32_t> device_a(a), device_b(b);
  const Buffer<uint64_t> out(kThreads * kernels::kIntegers);
  run("integers", 1, kThreads, device_a.data(), device_b.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < kThreads; ++t) {
    uint64_t expected[kernels::kIntegers];
    kernels::integers(a[t], b[t], expected);
    for (size_t i = 0; i < kernels::kIntegers; ++i) ASSERT_EQ(got[i * kThreads + t], expected[i]) << "result " << i << " of " << a[t] << ", " << b[t];
  }
}

std::vector<uint32_t> intrinsics(uint32_t a, uint32_t b) {
  const auto dot = [&](auto byte) {
    uint32_t sum = 5;
    for (int i = 0; i < 32; i += 8) sum += static_cast<uint32_t>(static_cast<decltype(byte)>(a >> i) * static_cast<decltype(byte)>(b >> i));
    return sum;
  };
  uint32_t reversed = 0;
  for (int i = 0; i < 32; ++i) reversed |= (a >> i & 1) << (31 - i);
  const uint64_t both = uint64_t{b} << 32 | a;
  const auto byte = [&](int i) { return static_cast<uint32_t>(both >> (8 * i) & 255); };
  const auto signed_a = static_cast<int32_t>(a), signed_b = static_cast<int32_t>(b);
  const uint32_t position = b & 31, length = a & 15, by = b & 63;
  int64_t field = static_cast<int64_t>(signed_a) >> position;  // bits past the 31st are copies of the sign
  field = length == 0 ? 0 : static_cast<int64_t>(static_cast<uint64_t>(field) << (64 - length)) >> (64 - length);
  const uint32_t to = a & 31, count = b & 31, mask = static_cast<uint32_t>(((uint64_t{1} << count) - 1) << to);
  return {dot(int8_t{}),
          dot(uint8_t{}),
          static_cast<uint32_t>(__builtin_popcount(a)),
          a == 0 ? 32 : static_cast<uint32_t>(__builtin_clz(a)),
          reversed,
          byte(5) | byte(1) << 8 | byte(7) << 16 | byte(3) << 24,
          static_cast<uint32_t>(both << (a & 31) >> 32),
          static_cast<uint32_t>(both >> (b & 31)),
          static_cast<uint32_t>(int64_t{signed_a} * signed_b >> 32),
          static_cast<uint32_t>(uint64_t{a} * b >> 32),
          by > 31 ? 0 : a << by,
          static_cast<uint32_t>(signed_a >> std::min(by, 31u)),
          static_cast<uint32_t>(field),
          (static_cast<uint32_t>(uint64_t{a} << to) & mask) | (b & ~mask)};
}

TEST(Intrinsics, AreAsPtxDefinesThem) {
  const auto a = numbers(3), b = numbers(4);
  const Buffer<int32_t> device_a(a), device_b(b);
  const Buffer<uint32_t> out(kThreads * kernels::kIntrinsics);
  run("intrinsics", 1, kThreads, device_a.data(), device_b.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < kThreads; ++t) {
    const uint32_t ua = static_cast<uint32_t>(a[t]), ub = static_cast<uint32_t>(b[t]);
    const auto expected = intrinsics(ua, ub);
    for (size_t i = 0; i < kernels::kIntrinsics; ++i)
      ASSERT_EQ(got[i * kThreads + t], expected[i]) << "result " << i << " of " << a[t] << ", " << b[t];
  }
}

std::vector<float> floats(unsigned seed, float low, float high) {
  std::mt19937 random(seed);
  std::vector<float> values(kThreads);
  for (float& value : values)
    value = std::ldexp(low + (high - low) * static_cast<float>(random() >> 8) / (1 << 24), static_cast<int>(random() % 40) - 20);
  return values;
}

TEST(Floats, AreThoseOfTheHost) {
  auto a = floats(1, -1, 1), b = floats(2, -1, 1);
  const float special[] = {0.0f, -0.0f, 1.0f, 0.5f, -1.5f, 2.5f, INFINITY, -INFINITY, NAN, 1e-40f, 3.4e38f, 16777217.0f};
  for (size_t i = 0; i < 144; ++i) {
    a[i] = special[i / 12];
    b[i] = special[i % 12];
  }
  const Buffer<float> device_a(a), device_b(b), out(kThreads * kernels::kFloats);
  run("floats", 1, kThreads, device_a.data(), device_b.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < kThreads; ++t) {
    float expected[kernels::kFloats];
    kernels::floats(a[t], b[t], expected);
    for (size_t i = 0; i < kernels::kFloats; ++i) {
      const float value = got[i * kThreads + t];
      if (std::isnan(expected[i]) && std::isnan(value)) continue;
      ASSERT_EQ(value, expected[i]) << "result " << i << " of " << a[t] << ", " << b[t];
    }
  }
}

// What PTX and CUDA promise of each, relative; the logarithm's is absolute. The host's own functions are exact enough beside these.
TEST(Approximations, AreAsNearAsPtxPromises) {
  std::vector<float> x(kThreads);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.01f * static_cast<float>(i + 1);
  const Buffer<float> device(x), out(kThreads * kernels::kApproximations);
  run("approximations", 1, kThreads, device.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < kThreads; ++t) {
    const double v = x[t];
    const double expected[] = {std::exp2(v), 1 / v, 1 / std::sqrt(v), std::sqrt(v), std::log2(v), std::tanh(v), std::exp(-v), std::tanh(v)};
    const double bound[] = {0x1p-22, 0x1p-23, 0x1p-22, 0x1p-22, 0x1p-22, 0x1p-10, 0x1p-21, 0x1p-21};
    for (size_t i = 0; i < kernels::kApproximations; ++i) {
      EXPECT_NEAR(got[i * kThreads + t], expected[i], bound[i] * (i == 4 ? 1 : expected[i])) << "result " << i << " of " << v;
    }
  }
}

TEST(Halves, AreThoseOfCudasOwnHostFunctions) {
  constexpr size_t kAll = 65536;
  std::vector<uint16_t> halves(kAll);
  std::vector<float> singles(kAll);
  std::mt19937 random(5);
  for (size_t i = 0; i < kAll; ++i) {
    halves[i] = static_cast<uint16_t>(i);
    singles[i] = std::ldexp(static_cast<float>(random()) / 4294967296.0f * (i % 2 == 0 ? 1 : -1), static_cast<int>(random() % 46) - 28);
    if (i % 16 == 3) singles[i] = std::ldexp(static_cast<float>(2 * (random() % 2048) + 1), static_cast<int>(random() % 36) - 26);  // ties
  }
  const float special[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN, 65504.0f, 65519.99f, 65520.0f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f};
  std::copy(std::begin(special), std::end(special), singles.begin());
  const Buffer<uint16_t> device_halves(halves), narrow(kAll);
  const Buffer<float> device_singles(singles), wide(kAll);
  const Buffer<uint32_t> pairs(kAll), differences(kAll);
  run("halves", kAll / 256, 256, device_halves.data(), wide.data(), device_singles.data(), narrow.data(), pairs.data(), differences.data());
  const auto got_wide = wide.get();
  const auto got_narrow = narrow.get();
  const auto got_pairs = pairs.get(), got_differences = differences.get();
  const auto half = [](float value) { return static_cast<__half_raw>(__float2half_rn(value)).x; };
  const auto single = [](uint32_t bits) { return __half2float(__half(__half_raw{static_cast<uint16_t>(bits)})); };
  const auto same = [](float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  for (size_t i = 0; i < kAll; ++i) {
    const float low = single(half(single(halves[i]) - single(got_pairs[i]))), high = single(half(single(halves[i ^ 5]) - single(got_pairs[i] >> 16)));
    ASSERT_TRUE(same(single(got_differences[i]), low) && same(single(got_differences[i] >> 16), high)) << halves[i] << " - " << singles[i];
    const float expected = __half2float(__half(__half_raw{halves[i]}));
    if (!std::isnan(expected) || !std::isnan(got_wide[i])) {
      ASSERT_EQ(got_wide[i], expected) << halves[i];
    }
    ASSERT_EQ(got_narrow[i], half(singles[i])) << singles[i];
    ASSERT_EQ(got_pairs[i], half(singles[i]) | uint32_t{half(singles[i ^ 1])} << 16) << singles[i];
  }
}

TEST(Shuffles, ReadTheLaneThatTheyName) {
  std::vector<uint32_t> v(32);
  for (uint32_t i = 0; i < 32; ++i) v[i] = 3 * i + 1;
  const Buffer<uint32_t> in(v), out(320);
  run("shuffles", 1, 32, in.data(), out.data());
  const auto got = out.get();
  for (int l = 0; l < 32; ++l) {
    const int inside8 = l % 8, inside16 = l % 16;
    const int from[] = {5,
                        (l + 1) % 32,
                        l - inside8 + 1,
                        l < 3 ? l : l - 3,
                        inside8 < 2 ? l : l - 2,
                        l > 28 ? l : l + 3,
                        inside16 > 12 ? l : l + 3,
                        l ^ 5,
                        (l ^ 12) > (l | 7) ? l : l ^ 12,  // a segment before its own may be read, one behind it not
                        l < 16 ? l ^ 1 : l ^ 2};
    for (int i = 0; i < 10; ++i)
      ASSERT_EQ(got[static_cast<size_t>(i * 32 + l)], v[static_cast<size_t>(from[i])]) << "result " << i << " of lane " << l;
  }
}

TEST(Votes, CountTheLanesOfTheirMask) {
  std::mt19937 random(6);
  std::vector<uint32_t> v(32);
  for (uint32_t& value : v) value = random();
  const Buffer<uint32_t> in(v), out(320);
  run("votes", 1, 32, in.data(), out.data());
  const auto got = out.get();
  uint32_t odd = 0, sum = 0, all_xor = 0;
  int32_t least = INT32_MAX;
  for (uint32_t l = 0; l < 32; ++l) {
    odd |= (v[l] & 1) << l;
    sum += v[l];
    all_xor ^= v[l];
    least = std::min(least, static_cast<int32_t>(v[l]));
  }
  for (uint32_t l = 0; l < 32; ++l) {
    const uint32_t thirds = 0x49249249u, third = l % 3 == 0 ? odd & thirds : 0, active = l % 3 == 0 ? thirds : 0;
    const uint32_t expected[] = {odd, 1, 1, 0, third, active, sum, static_cast<uint32_t>(least), *std::max_element(v.begin(), v.end()), all_xor};
    for (size_t i = 0; i < 10; ++i) ASSERT_EQ(got[i * 32 + l], expected[i]) << "result " << i << " of lane " << l;
  }
}

TEST(Calls, PassStructsBackAndForth) {
  const auto in = numbers(7, 32);
  std::vector<int> small(in.begin(), in.begin() + 32);
  for (int& v : small) v %= 1000;
  const Buffer<int> device(small);
  const Buffer<float> out(32);
  run("calls", 1, 32, device.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < 32; ++t) {
    int a = small[t];
    long long b = small[t] * 10ll;
    float c = 0.5f;
    if (const int times = small[t] & 3; times != 0) {
      for (int i = 0; i < times; ++i) a += a & 1 ? 3 : 5;
      b *= 2;
      c = static_cast<float>(a + b) + c * 2.0f;
    }
    ASSERT_EQ(got[t], static_cast<float>(a + b) + c + static_cast<float>(a)) << small[t];
  }
}

TEST(Atomics, LoseNothing) {
  constexpr unsigned kBlocks = 5, kEach = 64;
  const auto in = numbers(8, kBlocks * kEach);
  const Buffer<int> device(in), ints(std::vector<int>{0, INT32_MIN, INT32_MAX, 0, 0});
  const Buffer<unsigned> unsigneds(std::vector<unsigned>{0, 0, 0, 0, 0, ~0u, 0});
  const Buffer<float> floats(std::vector<float>{0});
  const Buffer<unsigned long long> wide(std::vector<unsigned long long>{0});
  run("atomics", kBlocks, kEach, device.data(), ints.data(), unsigneds.data(), floats.data(), wide.data());
  unsigned sum = 0, largest = 0, all_xor = 0;
  float float_sum = 0, float_largest = 0;
  for (int v : in) {
    sum += static_cast<unsigned>(v);
    largest = std::max(largest, static_cast<unsigned>(v));
    all_xor ^= static_cast<unsigned>(v);
    float_sum += static_cast<float>(v % 8);
    float_largest = std::max(float_largest, static_cast<float>(v % 100));
  }
  const auto got = ints.get();
  EXPECT_EQ(got[0], static_cast<int>(sum));
  EXPECT_EQ(got[1], *std::max_element(in.begin(), in.end()));
  EXPECT_EQ(got[2], *std::min_element(in.begin(), in.end()));
  EXPECT_NE(std::find(in.begin(), in.end(), got[3]), in.end());
  float by_swap;
  std::memcpy(&by_swap, &got[4], sizeof by_swap);
  EXPECT_EQ(by_swap, float_largest);
  EXPECT_EQ(unsigneds.get(), (std::vector<unsigned>{kBlocks * kEach, largest, kBlocks * kEach % 100, ~0u, all_xor, 0, 80}));
  EXPECT_EQ(floats.get()[0], float_sum);
  EXPECT_EQ(wide.get()[0], kBlocks * (uint64_t{kEach} * 0x100000000u + kEach * (kEach - 1) / 2));

  const auto thousand = numbers(9, 1000);
  const Buffer<int> values(thousand), bins(16);
  run("histogram", 1, 96, values.data(), bins.data());
  std::vector<int> expected(16);
  for (int v : thousand) ++expected[static_cast<size_t>(v & 15)];
  EXPECT_EQ(bins.get(), expected);
}

TEST(Counters, OfAllBlocksTellTheLastOne) {
  const auto in = numbers(10, 20 * 32);
  const Buffer<int> device(in), partial(20), out(1);
  const Buffer<unsigned> count(std::vector<unsigned>{0});
  unsigned sum = 0;
  for (int v : in) sum += static_cast<unsigned>(v);
  for (uint32_t seed : {0, 1, 2}) {
    options().seed = seed;
    run("last_block", 20, 32, device.data(), partial.data(), count.data(), out.data());
    EXPECT_EQ(out.get()[0], static_cast<int>(sum));
    EXPECT_EQ(count.get()[0], 0u);
  }
  options().seed = 0;
}

TEST(Offsets, ReachPastFourGigabytes) {
  const size_t size = (size_t{5} << 30) + 7;
  const Buffer<char> memory(size);
  std::vector<int64_t> offsets(32);
  for (size_t i = 0; i < 32; ++i) offsets[i] = static_cast<int64_t>(size - 1 - i * 171798691);
  const Buffer<int64_t> device(offsets), out(32);
  run("far_offsets", 1, 32, memory.data(), device.data(), out.data());
  const auto got = out.get();
  for (size_t i = 0; i < 32; ++i) EXPECT_EQ(got[i], static_cast<int64_t>(i) + 1 + 2 * offsets[i]);
}

TEST(Memory, OfEveryKindIsReadAsItWasWritten) {
  const Buffer<int8_t> bytes(32);
  run("bytes_of_a_word", 1, 32, bytes.data());
  const auto in = numbers(11, 32);
  const Buffer<int> device(in), out(32);
  run("generic", 1, 32, device.data(), out.data());
  const auto got = out.get();
  for (size_t t = 0; t < 32; ++t) {
    EXPECT_EQ(bytes.get()[t], static_cast<int8_t>(t ^ 1));
    EXPECT_EQ(got[t], t % 3 == 0 ? in[0] : t % 3 == 1 ? in[31 - t] : static_cast<int>(2u * static_cast<unsigned>(in[31 - t])));
  }
}

TEST(Copies, ArriveInGroupsCutShortWithZeros) {
  std::vector<char> in(896);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<char>(i * 7 + 1);
  const Buffer<char> device(in), out(896);
  run("copies", 1, 32, device.data(), out.data());
  const auto got = out.get();
  for (size_t i = 0; i < 896; ++i) {
    const size_t from = i < 128 ? (i / 4 ^ 7) * 4 + i % 4 : i;
    const bool copied = i < 128 ? i % 4 < (i / 4 ^ 7) % 5 : i < 384 || (i - 384) % 16 < (i - 384) / 16 % 17;
    ASSERT_EQ(got[i], copied ? in[from] : 0) << i;
  }
}

TEST(Examples, ComputeWhatPlainLoopsDo) {
  for (uint32_t seed : {0, 1}) {
    options().seed = seed;
    const Stream stream;
    for (const kernels::Example& example : kernels::examples()) EXPECT_EQ(example.check(stream), "") << example.name << ", seed " << seed;
  }
  options().seed = 0;
}

}  // namespace
}  // namespace mipha::machine
