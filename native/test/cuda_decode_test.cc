// Products of a decode step against plain loops: INT8 to the bit where the rows are given, else within what rounding to steps and FP32 may do.
#include "test/support/cuda_matrix.h"

namespace mipha::cuda {
namespace {

using namespace test;

constexpr Format kFormats[] = {Format::kS8, Format::kS8Wide, Format::kF16};
constexpr Launch kOneProcessor{nullptr, 1};  // a few blocks: each has many tiles

/// Rows `gap` apart, nothing written between them.
struct DeviceRows {
  int count, width;
  int64_t stride;
  Buffer<float> values;
  Buffer<uint32_t> peak;
  DeviceRows(const std::vector<float>& x, int count, int width, int gap = 4)
      : count(count), width(width), stride(width + gap), values(static_cast<size_t>(count * stride)), peak(count) {
    std::vector<uint32_t> peaks;
    for (int r = 0; r < count; ++r) {
      MACHINE_CHECK(cudaMemcpy(values.data() + r * stride, x.data() + static_cast<size_t>(r) * width, width * 4, cudaMemcpyHostToDevice));
      peaks.push_back(peak_bits(x.data() + static_cast<size_t>(r) * width, width));
    }
    MACHINE_CHECK(cudaMemcpy(peak.data(), peaks.data(), count * 4, cudaMemcpyHostToDevice));
  }
  Rows rows() const { return {values.data(), stride, count, width, peak.data()}; }
};

void check_add(Format format, int rows, int out, int in, bool saturated, bool more) {
  Numbers numbers(static_cast<unsigned>(out * 31 + in * 7 + rows));
  const PlainMatrix m(numbers, format, out, in, {}, saturated);
  const DeviceMatrix matrix(m);
  std::vector<float> x = numbers.floats(static_cast<size_t>(rows) * in, -3, 3);
  if (saturated) std::for_each(x.begin(), x.end(), [](float& v) { v = v < 0 ? -3.0f : 3.0f; });
  const DeviceRows device(x, rows, in);
  const int stride = out + 3;
  const std::vector<float> before = numbers.floats(static_cast<size_t>(rows) * stride, -1, 1), others = numbers.floats(before.size(), -1, 1);
  const Buffer<float> to(before), other(others);
  finish(decode_add(kOneProcessor, device.rows(), matrix.matrix, {to.data(), stride, more ? other.data() : nullptr}));
  const std::vector<float> got = to.get();
  for (int r = 0; r < rows; ++r) {
    for (int n = 0; n < stride; ++n) {
      const size_t at = static_cast<size_t>(r) * stride + n;
      const std::string what = std::to_string(out) + " × " + std::to_string(in) + ", row " + std::to_string(r) + ", " + std::to_string(n);
      if (n >= out) {
        ASSERT_EQ(got[at], before[at]) << what;
        continue;
      }
      Expected y = given_product(m, x.data() + static_cast<size_t>(r) * in, n);
      if (format == Format::kS8) {
        const float sum = before[at] + static_cast<float>(y.y);
        ASSERT_EQ(got[at], more ? sum + others[at] : sum) << what;
      } else {
        expect_near({before[at] + y.y + (more ? others[at] : 0), y.tolerance + 0x1p-20}, got[at], what);
      }
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(DecodeAdd, OverAwkwardSizes) {
  for (const Format format : kFormats) {
    for (const int rows : {1, 2, 3, 5, 8}) {
      check_add(format, rows, 17, 216, false, rows % 2 == 0);
      check_add(format, rows, 16, 28, false, true);
      if (HasFatalFailure()) return;
    }
    check_add(format, 1, 250, 576, false, false);
    check_add(format, 3, 250, 2336, false, false);  // 73 columns of tiles: warps have 9 or 10
    check_add(format, 2, 33, 4304, true, false);
    check_add(format, 8, 33, 4304, true, true);
    check_add(format, 1, 24, 10240, true, false);
  }
}

TEST(DecodeAdd, RowsThatDoNotFitAreMultipliedInTurn) {
  check_add(Format::kF16, 8, 17, 15072, false, true);
}

TEST(DecodeAdd, RowsAtTheEdgesOfFloats) {
  const float nan = NAN, infinity = INFINITY;
  Numbers numbers(5);
  for (const Format format : kFormats) {
    const int in = 64, out = 16;
    const PlainMatrix m(numbers, format, out, in);
    const DeviceMatrix matrix(m);
    std::vector<float> x = numbers.floats(5 * in, -1, 1);
    std::fill_n(x.begin(), in, 1e-38f);               // below what counts
    for (int k = 0; k < in; ++k) x[in + k] *= 1e35f;  // nearly as large as results may be
    std::fill_n(x.begin() + 2 * in, in, 0.0f);        // nothing
    x[3 * in + 7] = nan, x[4 * in + 9] = infinity;
    const DeviceRows device(x, 5, in);
    const Buffer<float> to(std::vector<float>(5 * out, 0.0f));
    finish(decode_add(kOneProcessor, device.rows(), matrix.matrix, {to.data(), out, nullptr}));
    const std::vector<float> got = to.get();
    for (int n = 0; n < out; ++n) {
      EXPECT_EQ(got[n], m.bias[n]);
      expect_near(given_product(m, &x[in], n), got[out + n], "large " + std::to_string(n));
      EXPECT_EQ(got[2 * out + n], m.bias[n]);
      if (format == Format::kS8) {
        EXPECT_EQ(got[3 * out + n], given_product(m, &x[3 * in], n).y);  // −127, as on the CPU
      } else {
        EXPECT_TRUE(std::isnan(got[3 * out + n]));
      }
      EXPECT_FALSE(std::isfinite(got[4 * out + n]));
    }
  }
}

// ---- rows that are normed on the way

struct PlainNorm {
  NormKind kind;
  float epsilon = 1e-5f;
  std::vector<float> gain, bias;
  Buffer<float> device_gain, device_bias;
  PlainNorm(Numbers& numbers, NormKind kind, int width)
      : kind(kind), gain(numbers.floats(width, 0.5f, 1.5f)), bias(numbers.floats(width, -0.5f, 0.5f)), device_gain(gain), device_bias(bias) {}
  Normed of(const DeviceRows& rows) const {
    return {rows.values.data(),
            rows.stride,
            rows.count,
            rows.width,
            kind,
            epsilon,
            device_gain.data(),
            kind == NormKind::kLayer ? device_bias.data() : nullptr};
  }
  std::vector<double> operator()(const float* x) const {
    const int width = static_cast<int>(gain.size());
    const bool layer = kind == NormKind::kLayer;
    double mean = 0, squares = 0;
    for (int i = 0; layer && i < width; ++i) mean += x[i] / static_cast<double>(width);
    for (int i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean) / width;
    std::vector<double> y(width);
    for (int i = 0; i < width; ++i) y[i] = (x[i] - mean) / std::sqrt(squares + epsilon) * gain[i] + (layer ? bias[i] : 0);
    return y;
  }
};

/// A normed row times row n. FP32 may be off by some 2^-17 of the norm, which moves a value that lies between two steps by a whole one.
Expected normed_product(const PlainMatrix& m, const std::vector<double>& x, int n) {
  constexpr double kOff = 0x1p-17;
  const float* w = m.row(n);
  double peak = 0, sum = 0, tolerance = 0;
  for (const double v : x) peak = std::max(peak, std::fabs(v));
  for (int k = 0; k < m.in; ++k) {
    const double steps = x[k] * 127 / peak, weight = w[k] * static_cast<double>(m.scale[n]);
    if (m.format == Format::kS8) {
      sum += std::nearbyint(steps) * peak / 127 * weight;
      const double to_tie = std::fabs(steps - std::floor(steps) - 0.5);
      tolerance += (to_tie < 127 * kOff ? peak / 127 : 0) * std::fabs(weight);
    } else {
      sum += x[k] * weight;
      tolerance += std::fabs(x[k] * weight) * 0x1p-11;  // a half of a unit in the last place of a half
    }
  }
  return {sum + m.bias[n], tolerance + (std::fabs(sum) + 1) * 4 * kOff};
}

struct Step {
  Format format;
  NormKind kind;
  int rows, out, in;
};
const Step kSteps[] = {{Format::kS8, NormKind::kLayer, 1, 113, 576},  {Format::kS8, NormKind::kRms, 3, 33, 216},
                       {Format::kS8, NormKind::kLayer, 8, 47, 2560},  {Format::kS8Wide, NormKind::kLayer, 2, 40, 1152},
                       {Format::kS8Wide, NormKind::kRms, 8, 17, 216}, {Format::kF16, NormKind::kLayer, 5, 33, 576},
                       {Format::kF16, NormKind::kRms, 1, 250, 1028}};

TEST(DecodeLogits, OfNormedRows) {
  for (const Step& step : kSteps) {
    Numbers numbers(static_cast<unsigned>(step.out));
    const PlainMatrix m(numbers, step.format, step.out, step.in);
    const DeviceMatrix matrix(m);
    const PlainNorm norm(numbers, step.kind, step.in);
    const std::vector<float> x = numbers.floats(static_cast<size_t>(step.rows) * step.in, -2, 3);
    const DeviceRows device(x, step.rows, step.in);
    const Buffer<float> to(static_cast<size_t>(step.rows) * step.out);
    finish(decode_logits(kOneProcessor, norm.of(device), matrix.matrix, {to.data(), step.out}));
    const std::vector<float> got = to.get();
    for (int r = 0; r < step.rows; ++r) {
      const std::vector<double> y = norm(&x[static_cast<size_t>(r) * step.in]);
      for (int n = 0; n < step.out; ++n) {
        expect_near(normed_product(m, y, n), got[r * step.out + n],
                    std::to_string(step.out) + ", row " + std::to_string(r) + ", " + std::to_string(n));
        if (HasFatalFailure()) return;
      }
    }
  }
}

/// What a row becomes does not depend on the rows beside it, nor on the number of blocks.
TEST(DecodeLogits, RowsAreAloneInTheirBits) {
  for (const Format format : kFormats) {
    Numbers numbers(3);
    const int rows = 7, out = 40, in = 344;
    const PlainMatrix m(numbers, format, out, in);
    const DeviceMatrix matrix(m);
    const PlainNorm norm(numbers, NormKind::kLayer, in);
    const std::vector<float> x = numbers.floats(rows * in, -2, 3);
    const DeviceRows device(x, rows, in);
    const Buffer<float> together(rows * out), alone(rows * out);
    Normed in_rows = norm.of(device);
    finish(decode_logits(kOneProcessor, in_rows, matrix.matrix, {together.data(), out}));
    in_rows.count = 1;
    for (int r = 0; r < rows; ++r, in_rows.values += device.stride) {
      finish(decode_logits({nullptr, 16}, in_rows, matrix.matrix, {alone.data() + r * out, out}));
    }
    EXPECT_EQ(together.get(), alone.get());
  }
}

// ---- activations

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::kGeluErf:
      return 0.5 * x * (1 + std::erf(x * 0.7071067811865476));
    case Activation::kQuickGelu:
      return x / (1 + std::exp(-1.702 * x));
    default:
      return x / (1 + std::exp(-x));
  }
}

/// Row n of the result; activations have slopes below 1.2.
Expected activated_product(const PlainMatrix& m, const std::vector<double>& x, Activation activation, int n) {
  const Expected y = normed_product(m, x, n);
  const Expected a{activation_of(activation, y.y), y.tolerance * 1.2 + std::fabs(y.y) * 0x1p-19};
  if (m.order.gated == 0) return a;
  const Expected up = normed_product(m, x, m.order.gated + n);
  return {a.y * up.y, std::fabs(a.y) * up.tolerance + a.tolerance * (std::fabs(up.y) + up.tolerance)};
}

struct Inner {
  int width, stride;
  std::vector<float> smooth;
  Buffer<float> out, device_smooth;
  Buffer<uint32_t> peak;
  Inner(Numbers& numbers, int rows, int width)
      : width(width),
        stride(width + 5),
        smooth(numbers.floats(width, 0.5f, 2)),
        out(static_cast<size_t>(rows) * stride),
        device_smooth(smooth),
        peak(std::vector<uint32_t>(rows, 0)) {}
  void check(const PlainMatrix& m, int row, const std::vector<double>& x, Activation activation, bool smoothed) const {
    std::vector<float> got(width);
    MACHINE_CHECK(cudaMemcpy(got.data(), out.data() + static_cast<int64_t>(row) * stride, width * 4, cudaMemcpyDeviceToHost));
    for (int n = 0; n < width; ++n) {
      const Expected y = activated_product(m, x, activation, n);
      const double by = smoothed ? smooth[n] : 1;
      expect_near({y.y * by, y.tolerance * by + 1e-6}, got[n],
                  "activation " + std::to_string(static_cast<int>(activation)) + ", " + std::to_string(n));
      if (testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(peak.get()[row], peak_bits(got.data(), width)) << "row " << row;
  }
};

TEST(DecodeUp, EveryActivationPlainAndGated) {
  for (const Activation activation : {Activation::kGeluTanh, Activation::kGeluErf, Activation::kQuickGelu, Activation::kSilu}) {
    for (const bool gated : {false, true}) {
      Numbers numbers(static_cast<unsigned>(activation) + 10);
      const int rows = gated ? 5 : 2, width = 83, in = 216;
      RowOrder order;
      if (gated) order.gated = width;
      const PlainMatrix m(numbers, gated ? Format::kS8 : Format::kF16, gated ? 2 * width : width, in, order);
      const DeviceMatrix matrix(m);
      const PlainNorm norm(numbers, NormKind::kRms, in);
      const std::vector<float> x = numbers.floats(rows * in, -1, 1);
      const DeviceRows device(x, rows, in);
      const Inner inner(numbers, rows, width);
      finish(decode_up(kOneProcessor, norm.of(device), matrix.matrix,
                       {activation, gated ? inner.device_smooth.data() : nullptr, inner.out.data(), inner.stride, inner.peak.data()}));
      for (int r = 0; r < rows && !HasFatalFailure(); ++r) inner.check(m, r, norm(&x[r * in]), activation, gated);
    }
  }
}

// ---- heads

struct HeadsCase {
  Format format;
  int heads, kv_heads, head_size, rotary, in, rows;
  bool with_up;
};
const HeadsCase kHeadsCases[] = {{Format::kS8, 4, 4, 80, 32, 216, 1, true},
                                 {Format::kS8, 6, 2, 64, 64, 576, 8, false},
                                 {Format::kF16, 2, 1, 256, 256, 64, 3, true},
                                 {Format::kS8Wide, 3, 3, 72, 0, 216, 2, true},
                                 {Format::kS8, 8, 1, 128, 32, 96, 5, true}};

void check_heads(const HeadsCase& c) {
  Numbers numbers(static_cast<unsigned>(c.head_size));
  const int qkv_width = (c.heads + 2 * c.kv_heads) * c.head_size, width = 50, positions = 70, half = c.rotary / 2;
  RowOrder order;
  if (c.rotary > 0) order.head_size = c.head_size, order.rotary = c.rotary, order.rotated_rows = (c.heads + c.kv_heads) * c.head_size;
  const PlainMatrix qkv(numbers, c.format, qkv_width, c.in, order), up(numbers, c.format, width, c.in);
  const DeviceMatrix qkv_matrix(qkv), up_matrix(up);
  const PlainNorm norm(numbers, NormKind::kLayer, c.in);
  const std::vector<float> x = numbers.floats(static_cast<size_t>(c.rows) * c.in, -1, 1);
  const DeviceRows device(x, c.rows, c.in);
  const Inner inner(numbers, c.rows, width);
  const std::vector<float> cosine = numbers.floats(positions * std::max(half, 1), -1, 1), sine = numbers.floats(cosine.size(), -1, 1);
  const Buffer<float> device_cosine(cosine), device_sine(sine);

  const int stride = 3, tables = 9, blocks = stride * tables;
  std::vector<int32_t> table(blocks);
  for (int i = 0; i < blocks; ++i) table[i] = (i * 5 + 3) % blocks;
  const int64_t block_stride = 2 * c.kv_heads * 32 * c.head_size + 64;
  const std::vector<uint16_t> before(static_cast<size_t>(blocks * block_stride), 0x1234);
  const Buffer<uint16_t> cache(before);
  const Buffer<int32_t> device_table(table);
  std::vector<Place> places;
  for (int r = 0; r < c.rows; ++r) places.push_back({(r * 31 + 1) % positions, tables - 1 - r});
  const Buffer<Place> device_places(places);
  const Buffer<float> q(static_cast<size_t>(c.rows) * c.heads * c.head_size);
  const Heads heads{q.data(),
                    {reinterpret_cast<__half*>(cache.data()), block_stride, c.kv_heads, c.head_size},
                    device_places.data(),
                    {device_table.data(), stride},
                    c.heads,
                    c.kv_heads,
                    c.head_size,
                    c.rotary,
                    device_cosine.data(),
                    device_sine.data()};
  const Activate to{Activation::kGeluTanh, inner.device_smooth.data(), inner.out.data(), inner.stride, inner.peak.data()};
  finish(decode_heads(kOneProcessor, norm.of(device), qkv_matrix.matrix, heads, c.with_up ? &up_matrix.matrix : nullptr, c.with_up ? &to : nullptr));

  const std::vector<float> got_q = q.get();
  std::vector<uint16_t> got_cache = cache.get();
  for (int r = 0; r < c.rows; ++r) {
    const std::vector<double> y = norm(&x[static_cast<size_t>(r) * c.in]);
    const Place place = places[r];
    const int64_t block = table[place.table * stride + place.position / 32] * block_stride;
    for (int n = 0; n < qkv_width; ++n) {
      const int head = n / c.head_size, d = n % c.head_size;
      Expected expected = normed_product(qkv, y, n);
      if (head < c.heads + c.kv_heads && d < c.rotary) {
        const bool first = d < half;
        const Expected other = normed_product(qkv, y, first ? n + half : n - half);
        const double cos = cosine[place.position * half + d % half], sin = sine[place.position * half + d % half];
        expected = {expected.y * cos + (first ? -sin : sin) * other.y, expected.tolerance + other.tolerance + 1e-5};
      }
      const std::string what = "head size " + std::to_string(c.head_size) + ", row " + std::to_string(r) + ", " + std::to_string(n);
      if (head < c.heads) {
        expect_near(expected, got_q[static_cast<size_t>(r) * c.heads * c.head_size + n], what);
      } else {
        const size_t at = static_cast<size_t>(block + (static_cast<int64_t>(head - c.heads) * 32 + place.position % 32) * c.head_size + d);
        expect_near({expected.y, expected.tolerance + std::fabs(expected.y) * 0x1p-11}, from_half(got_cache[at]), what);
        got_cache[at] = 0x1234;
      }
      if (testing::Test::HasFatalFailure()) return;
    }
    if (c.with_up) inner.check(up, r, y, Activation::kGeluTanh, true);
  }
  EXPECT_EQ(got_cache, before) << "other rows of the cache were touched";
}

TEST(DecodeHeads, RotatedIntoTheCache) {
  for (const HeadsCase& c : kHeadsCases) {
    check_heads(c);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace mipha::cuda
