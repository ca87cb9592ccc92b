// Antialiased resize as Pillow does it, bit for bit: each output value is a weighted sum of input values with the filter's kernel stretched by the
// reduction factor, weights in 22-bit fixed point, first along rows, then along columns (slivers the other way round), rounded to 8 bits in between.
//
// Source rows are streamed: each is padded, resampled and added to the output rows it touches, so that neither the padded square nor the
// intermediate picture ever exists. Output rows and columns outside the crop are never computed.
#include <algorithm>
#include <vector>

#include "model/image.h"
#include "model/resample.h"

namespace mipha {
namespace {

uint8_t from_fixed(int32_t value) {
  return static_cast<uint8_t>(std::clamp(value >> kFractionBits, 0, 255));
}

/// row [in, 3] → out [taps, 3].
void resample_row(const Axis& axis, const uint8_t* row, uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const int32_t* weights = axis.weights.data() + taps.weights;
    const uint8_t* pixel = row + static_cast<size_t>(taps.first) * 3;
    int32_t red = kRoundingHalf, green = kRoundingHalf, blue = kRoundingHalf;
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

void add_weighted(int32_t* sums, const uint8_t* values, int32_t weight, int count) {
  for (int i = 0; i < count; ++i) sums[i] += weight * values[i];
}

}  // namespace

std::vector<uint8_t> resize(const Image& image, int size, const Preprocessing& preprocessing) {
  check(image);
  const Resampling plan = plan_resampling(image.width, image.height, size, preprocessing);
  const Axis &horizontal = plan.horizontal, &vertical = plan.vertical;
  const int top = plan.top, bottom = top + image.height;

  std::vector<uint8_t> row(static_cast<size_t>(plan.padded_width) * 3);  // one source row between its padding columns
  for (size_t i = 0; i < row.size(); ++i) row[i] = preprocessing.background[i % 3];
  const int row_values = 3 * (plan.columns_first ? plan.padded_width : size);
  std::vector<uint8_t> resampled(row_values);
  std::vector<int32_t> sums;  // [size, row_values]
  sums.reserve(static_cast<size_t>(size) * row_values);
  for (const Taps& taps : vertical.taps) {
    const int32_t outside = vertical.padding_weight(taps, top, bottom);
    for (int i = 0; i < row_values; ++i) sums.push_back(kRoundingHalf + outside * preprocessing.background[i % 3]);
  }

  const int first_row = std::max(top, vertical.taps.front().first), end_row = std::min(bottom, vertical.taps.back().end());
  int open = 0;  // outputs before this one need no more rows: taps move down with the output
  for (int y = first_row; y < end_row; ++y) {
    rgb_row(image, y - top, row.data() + static_cast<size_t>(plan.left) * 3);
    if (!plan.columns_first) resample_row(horizontal, row.data(), resampled.data());
    const uint8_t* values = plan.columns_first ? row.data() : resampled.data();
    while (open < size && vertical.taps[open].end() <= y) ++open;
    for (int o = open; o < size && vertical.taps[o].first <= y; ++o) {
      const Taps& taps = vertical.taps[o];
      add_weighted(sums.data() + static_cast<size_t>(o) * row_values, values, vertical.weights[taps.weights + y - taps.first], row_values);
    }
  }

  std::vector<uint8_t> pixels(sums.size());
  for (size_t i = 0; i < sums.size(); ++i) pixels[i] = from_fixed(sums[i]);
  if (!plan.columns_first) return pixels;
  std::vector<uint8_t> both(static_cast<size_t>(size) * size * 3);
  for (size_t y = 0; y < static_cast<size_t>(size); ++y) resample_row(horizontal, pixels.data() + y * row_values, both.data() + y * size * 3);
  return both;
}

}  // namespace mipha
