// Antialiased resize as Pillow does it, bit for bit: each output value is a weighted sum of input values with the filter's kernel stretched by the
// reduction factor, weights in 22-bit fixed point, first along rows, then along columns (slivers the other way round), rounded to 8 bits in between.
//
// Source rows are streamed: each is padded, resampled and added to the output rows it touches, so that neither the padded square nor the
// intermediate picture ever exists. Output rows and columns outside the crop are never computed.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "model/image.h"

namespace mipha {
namespace {

constexpr int kFractionBits = 22;  // 8 bits of pixel, 2 of headroom for the kernel's overshoot
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

/// Cubic convolution with a = −0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

double triangle(double x) {
  return std::max(1 - std::abs(x), 0.0);
}

struct Kernel {
  double (*at)(double x);
  double support;  // its reach on either side at scale 1
};

Kernel kernel_of(Filter filter) {
  return filter == Filter::kBicubic ? Kernel{cubic, 2} : Kernel{triangle, 1};
}

/// The inputs [first, first + count) of one output and their weights.
struct Taps {
  int first = 0;
  int count = 0;
  size_t weights = 0;  // where they start in Axis::weights

  int end() const { return first + count; }
};

struct Axis {
  std::vector<Taps> taps;        // of the outputs that are kept
  std::vector<int32_t> weights;  // all outputs one after the other
};

/// `in` pixels resized to `resized`, of which the `kept` in the middle are wanted.
Axis plan_axis(int in, int resized, int kept, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / resized;
  const double stretch = std::max(scale, 1.0);  // only a reduction widens the kernel
  const double reach = kernel.support * stretch, shrink = 1.0 / stretch;
  const int start = (resized - kept) / 2;
  Axis axis;
  std::vector<double> exact;
  for (int o = start; o < start + kept; ++o) {
    const double center = (o + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - reach + 0.5), 0);
    const int last = std::min(static_cast<int>(center + reach + 0.5), in);
    exact.clear();
    double sum = 0;
    for (int i = first; i < last; ++i) {
      exact.push_back(kernel.at((i - center + 0.5) * shrink));
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

/// What the rows outside [top, bottom), all of them padding, weigh in an output.
int32_t padding_weight(const Axis& axis, const Taps& taps, int top, int bottom) {
  int32_t sum = 0;
  for (int i = 0; i < taps.count; ++i) {
    const int y = taps.first + i;
    if (y < top || y >= bottom) sum += axis.weights[taps.weights + i];
  }
  return sum;
}

void add_weighted(int32_t* sums, const uint8_t* values, int32_t weight, int count) {
  for (int i = 0; i < count; ++i) sums[i] += weight * values[i];
}

struct Size {
  int width = 0;
  int height = 0;
};

/// After the border, before resizing.
Size padded(const Image& image, Aspect aspect) {
  const int side = std::max(image.width, image.height);
  return aspect == Aspect::kPad ? Size{side, side} : Size{image.width, image.height};
}

/// After resizing, before the crop. The longer side is cut to whole pixels, as transformers does.
Size resized(const Image& image, const Preprocessing& preprocessing) {
  const int side = preprocessing.shortest_side;
  if (preprocessing.aspect != Aspect::kCrop) return {side, side};
  const auto [shorter, longer] = std::minmax(image.width, image.height);
  const int scaled = static_cast<int>(int64_t{side} * longer / shorter);
  return image.width <= image.height ? Size{side, scaled} : Size{scaled, side};
}

/// Pillow's exception: of a picture more than a hundred times as high as wide, columns come before rows when they become shorter.
bool resizes_columns_first(const Size& in, const Size& out) {
  return in.height > 100 * in.width && out.height < in.height;
}

}  // namespace

std::vector<uint8_t> resize(const Image& image, int size, const Preprocessing& preprocessing) {
  check(image);
  const Size in = padded(image, preprocessing.aspect), out = resized(image, preprocessing);
  const int left = (in.width - image.width) / 2, top = (in.height - image.height) / 2, bottom = top + image.height;
  const Kernel kernel = kernel_of(preprocessing.filter);
  const Axis horizontal = plan_axis(in.width, out.width, size, kernel), vertical = plan_axis(in.height, out.height, size, kernel);
  const bool columns_first = resizes_columns_first(in, out);

  std::vector<uint8_t> row(static_cast<size_t>(in.width) * 3);  // one source row between its padding columns
  for (size_t i = 0; i < row.size(); ++i) row[i] = preprocessing.background[i % 3];
  const int row_values = 3 * (columns_first ? in.width : size);
  std::vector<uint8_t> resampled(row_values);
  std::vector<int32_t> sums;  // [size, row_values]
  sums.reserve(static_cast<size_t>(size) * row_values);
  for (const Taps& taps : vertical.taps) {
    const int32_t outside = padding_weight(vertical, taps, top, bottom);
    for (int i = 0; i < row_values; ++i) sums.push_back(kHalf + outside * preprocessing.background[i % 3]);
  }

  const int first_row = std::max(top, vertical.taps.front().first), end_row = std::min(bottom, vertical.taps.back().end());
  int open = 0;  // outputs before this one need no more rows: taps move down with the output
  for (int y = first_row; y < end_row; ++y) {
    rgb_row(image, y - top, row.data() + static_cast<size_t>(left) * 3);
    if (!columns_first) resample_row(horizontal, row.data(), resampled.data());
    const uint8_t* values = columns_first ? row.data() : resampled.data();
    while (open < size && vertical.taps[open].end() <= y) ++open;
    for (int o = open; o < size && vertical.taps[o].first <= y; ++o) {
      const Taps& taps = vertical.taps[o];
      add_weighted(sums.data() + static_cast<size_t>(o) * row_values, values, vertical.weights[taps.weights + y - taps.first], row_values);
    }
  }

  std::vector<uint8_t> pixels(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) pixels[i] = from_fixed(sums[i]);
  if (!columns_first) return pixels;
  std::vector<uint8_t> both(static_cast<size_t>(size) * size * 3);
  for (size_t y = 0; y < static_cast<size_t>(size); ++y) resample_row(horizontal, pixels.data() + y * row_values, both.data() + y * size * 3);
  return both;
}

}  // namespace mipha
