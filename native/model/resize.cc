// Antialiased bicubic resize as Pillow does it, bit for bit: each output value is a weighted sum of input values with the cubic convolution
// kernel (a = −0.5) stretched by the reduction factor, weights in 22-bit fixed point, first along rows, then along columns, rounded to
// 8 bits in between.
//
// Source rows are streamed: each is padded, resampled and added to the output rows it touches, so that neither the padded square nor the
// intermediate picture ever exists.
#include <algorithm>
#include <cmath>
#include <vector>

#include "model/image.h"

namespace mipha {
namespace {

constexpr int kFractionBits = 22;  // 8 bits of pixel, 2 of headroom for the kernel's overshoot
constexpr int32_t kHalf = 1 << (kFractionBits - 1);
constexpr double kSupport = 2;  // the kernel's reach on either side at scale 1

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// The inputs [first, first + count) of one output and their weights.
struct Taps {
  int first = 0;
  int count = 0;
  size_t weights = 0;  // where they start in Axis::weights
};

struct Axis {
  std::vector<Taps> taps;        // [out]
  std::vector<int32_t> weights;  // all outputs one after the other
};

Axis plan_axis(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);  // only a reduction widens the kernel
  const double reach = kSupport * stretch, shrink = 1.0 / stretch;
  Axis axis;
  std::vector<double> exact;
  for (int o = 0; o < out; ++o) {
    const double center = (o + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - reach + 0.5), 0);
    const int last = std::min(static_cast<int>(center + reach + 0.5), in);
    exact.clear();
    double sum = 0;
    for (int i = first; i < last; ++i) {
      exact.push_back(cubic((i - center + 0.5) * shrink));
      sum += exact.back();
    }
    axis.taps.push_back({first, last - first, axis.weights.size()});
    for (const double weight : exact) {
      const double fixed = weight / sum * (1 << kFractionBits);
      axis.weights.push_back(static_cast<int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return axis;
}

uint8_t from_fixed(int32_t value) {
  return static_cast<uint8_t>(std::clamp(value >> kFractionBits, 0, 255));
}

/// row [in, 3] → out [taps, 3].
void resample_row(const Axis& axis, const uint8_t* row, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const int32_t* weights = axis.weights.data() + taps.weights;
    const uint8_t* pixel = row + static_cast<size_t>(taps.first) * 3;
    int32_t red = kHalf, green = kHalf, blue = kHalf;
    for (int i = 0; i < taps.count; ++i, pixel += 3) {
      red += weights[i] * pixel[0];
      green += weights[i] * pixel[1];
      blue += weights[i] * pixel[2];
    }
    *out++ = from_fixed(red);
    *out++ = from_fixed(green);
    *out++ = from_fixed(blue);
  }
}

/// Rounding offset plus what the padding rows add: every input of `taps` outside [top, bottom) is a constant row.
int32_t padding_sum(const Axis& axis, const Taps& taps, int top, int bottom, uint8_t background) {
  int32_t sum = kHalf;
  for (int i = 0; i < taps.count; ++i) {
    const int y = taps.first + i;
    if (y < top || y >= bottom) sum += axis.weights[taps.weights + i] * background;
  }
  return sum;
}

void add_weighted(int32_t* sums, const uint8_t* values, int32_t weight, int count) {
  for (int i = 0; i < count; ++i) sums[i] += weight * values[i];
}

}  // namespace

std::vector<uint8_t> resize(const Image& image, int size, const Preprocessing& preprocessing) {
  check(image);
  const int side = std::max(image.width, image.height);
  const bool pad = preprocessing.pad_to_square;
  const int in_width = pad ? side : image.width, in_height = pad ? side : image.height;
  const int left = (in_width - image.width) / 2, top = (in_height - image.height) / 2;
  const Axis horizontal = plan_axis(in_width, size), vertical = plan_axis(in_height, size);

  const int row_values = size * 3;
  std::vector<uint8_t> row(static_cast<size_t>(in_width) * 3, preprocessing.background);  // one source row between its padding columns
  std::vector<uint8_t> resampled(row_values);
  std::vector<int32_t> sums(static_cast<size_t>(size) * row_values);
  for (int o = 0; o < size; ++o) {
    const int32_t outside = padding_sum(vertical, vertical.taps[o], top, top + image.height, preprocessing.background);
    std::fill_n(sums.begin() + static_cast<size_t>(o) * row_values, row_values, outside);
  }

  int open = 0;  // outputs before this one need no more rows: taps move down with the output
  for (int y = top; y < top + image.height; ++y) {
    rgb_row(image, y - top, row.data() + static_cast<size_t>(left) * 3);
    resample_row(horizontal, row.data(), resampled.data());
    while (open < size && vertical.taps[open].first + vertical.taps[open].count <= y) ++open;
    for (int o = open; o < size && vertical.taps[o].first <= y; ++o) {
      const Taps& taps = vertical.taps[o];
      add_weighted(sums.data() + static_cast<size_t>(o) * row_values, resampled.data(), vertical.weights[taps.weights + y - taps.first], row_values);
    }
  }

  std::vector<uint8_t> pixels(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) pixels[i] = from_fixed(sums[i]);
  return pixels;
}

}  // namespace mipha
