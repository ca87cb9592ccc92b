#include "model/resample.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace mipha {
namespace {

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

struct Size {
  int width = 0;
  int height = 0;
};

/// After the border, before resizing.
Size padded(int width, int height, Aspect aspect) {
  const int side = std::max(width, height);
  return aspect == Aspect::kPad ? Size{side, side} : Size{width, height};
}

/// After resizing, before the crop. The longer side is cut to whole pixels, as transformers does.
Size resized(int width, int height, const Preprocessing& preprocessing) {
  const int side = preprocessing.shortest_side;
  if (preprocessing.aspect != Aspect::kCrop) return {side, side};
  const auto [shorter, longer] = std::minmax(width, height);
  const int scaled = static_cast<int>(int64_t{side} * longer / shorter);
  return width <= height ? Size{side, scaled} : Size{scaled, side};
}

/// Pillow's exception: of a picture more than a hundred times as high as wide, columns come before rows when they become shorter.
bool resizes_columns_first(const Size& in, const Size& out) {
  return in.height > 100 * in.width && out.height < in.height;
}

}  // namespace

int32_t Axis::padding_weight(const Taps& of, int from, int to) const {
  int32_t sum = 0;
  for (int i = 0; i < of.count; ++i) {
    const int at = of.first + i;
    if (at < from || at >= to) sum += weights[of.weights + i];
  }
  return sum;
}

Resampling plan_resampling(int width, int height, int size, const Preprocessing& preprocessing) {
  const Size in = padded(width, height, preprocessing.aspect), out = resized(width, height, preprocessing);
  const Kernel kernel = kernel_of(preprocessing.filter);
  return {in.width,
          (in.width - width) / 2,
          (in.height - height) / 2,
          resizes_columns_first(in, out),
          plan_axis(in.width, out.width, size, kernel),
          plan_axis(in.height, out.height, size, kernel)};
}

}  // namespace mipha
