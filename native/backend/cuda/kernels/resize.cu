// A picture becomes the tower's pixels: two passes of weighted sums in 22-bit fixed point with 8-bit rounding between, to the byte what
// model/resize.cc makes of it. Only the lines that the second pass needs exist in between, already resized along the first axis; what the border
// weighs in an output is known beforehand, so that neither pass reads any of it.
#include <algorithm>

#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"
#include "model/bt601.h"
#include "model/resample.h"

namespace mipha::cuda {
namespace {

constexpr int kThreads = 128;

/// One axis in a plan's table: per output its first input, their number and the border's weight, then the weights by input and output, so that
/// neighbouring threads read neighbouring words.
enum Row { kFirst, kCount, kBorder, kWeights };

/// Appends it; inputs count from the picture's edge, which is `from` within the border. Returns the inputs that any output needs: first and end.
std::pair<int, int> append(std::vector<int32_t>& table, const Axis& axis, int from, int length) {
  const size_t size = axis.taps.size(), start = table.size();
  table.resize(start + kWeights * size);
  int low = length, high = 0;
  for (size_t o = 0; o < size; ++o) {
    const Taps& taps = axis.taps[o];
    const int first = std::max(taps.first, from), count = std::max(std::min(taps.end(), from + length) - first, 0);
    table[start + kFirst * size + o] = first - from;
    table[start + kCount * size + o] = count;
    table[start + kBorder * size + o] = axis.padding_weight(taps, from, from + length);
    if (table.size() < start + (kWeights + count) * size) table.resize(start + (kWeights + count) * size);
    for (int i = 0; i < count; ++i) table[start + (kWeights + i) * size + o] = axis.weights[taps.weights + (first - taps.first) + i];
    if (count > 0) low = std::min(low, first - from), high = std::max(high, first - from + count);
  }
  return {low, std::max(low, high)};
}

struct Arguments {
  const uint8_t* image;
  int height;
  int64_t stride;
  const int32_t *first, *second;  // axes
  int size, first_line, lines;
  bool columns_first;
  uint8_t background[3];
  uint8_t *between, *pixels;  // [lines][size][3], [size][size][3]
};

__device__ __forceinline__ uint8_t rounded(int value, int fraction_bits) {
  return static_cast<uint8_t>(min(max(value >> fraction_bits, 0), 255));
}

template <PixelFormat kFormat>
__device__ __forceinline__ void read_pixel(const Arguments& in, int x, int y, int (&rgb)[3]) {
  const uint8_t* row = in.image + y * in.stride;
  if constexpr (kFormat == PixelFormat::kNv12) {
    const uint8_t* chroma = in.image + (in.height + y / 2) * in.stride + (x & ~1);
    const int luma = (row[x] - 16) * bt601::kLuma + (1 << 15), cb = chroma[0] - 128, cr = chroma[1] - 128;
    rgb[0] = rounded(luma + cr * bt601::kCrToRed, 16);
    rgb[1] = rounded(luma - cr * bt601::kCrToGreen - cb * bt601::kCbToGreen, 16);
    rgb[2] = rounded(luma + cb * bt601::kCbToBlue, 16);
  } else {
    constexpr int kBytes = kFormat == PixelFormat::kGray ? 1 : kFormat == PixelFormat::kRgba ? 4 : 3;
#pragma unroll
    for (int c = 0; c < 3; ++c) rgb[c] = row[x * kBytes + (kBytes == 1 ? 0 : kFormat == PixelFormat::kBgr ? 2 - c : c)];
  }
}

/// Thread (output of the axis, line of the picture).
template <PixelFormat kFormat>
__global__ void __launch_bounds__(kThreads) resize_lines(Arguments in) {
  const int o = blockIdx.x * kThreads + threadIdx.x, line = in.first_line + blockIdx.y;
  if (o >= in.size) return;
  const int first = in.first[kFirst * in.size + o], count = in.first[kCount * in.size + o], border = in.first[kBorder * in.size + o];
  const int32_t* weight = in.first + kWeights * in.size + o;
  int sum[3];
#pragma unroll
  for (int c = 0; c < 3; ++c) sum[c] = kRoundingHalf + border * in.background[c];
  for (int i = 0; i < count; ++i, weight += in.size) {
    int rgb[3];
    read_pixel<kFormat>(in, in.columns_first ? line : first + i, in.columns_first ? first + i : line, rgb);
#pragma unroll
    for (int c = 0; c < 3; ++c) sum[c] += *weight * rgb[c];
  }
  uint8_t* out = in.between + (static_cast<int64_t>(blockIdx.y) * in.size + o) * 3;
#pragma unroll
  for (int c = 0; c < 3; ++c) out[c] = rounded(sum[c], kFractionBits);
}

/// Thread (value of a line, output of the other axis).
__global__ void __launch_bounds__(kThreads) join_lines(Arguments in) {
  const int value = blockIdx.x * kThreads + threadIdx.x, o = blockIdx.y, width = 3 * in.size;
  if (value >= width) return;
  const int first = in.second[kFirst * in.size + o], count = in.second[kCount * in.size + o], border = in.second[kBorder * in.size + o];
  const int32_t* weight = in.second + kWeights * in.size + o;
  const uint8_t* from = in.between + static_cast<int64_t>(first - in.first_line) * width + value;
  const int channel = value % 3, red = in.background[0], green = in.background[1], blue = in.background[2];  // not an index: that takes a stack
  int sum = kRoundingHalf + border * (channel == 0 ? red : channel == 1 ? green : blue);
  for (int i = 0; i < count; ++i, weight += in.size, from += width) sum += *weight * *from;
  const int64_t at = in.columns_first ? (static_cast<int64_t>(value / 3) * in.size + o) * 3 + channel : static_cast<int64_t>(o) * width + value;
  in.pixels[at] = rounded(sum, kFractionBits);
}

template <PixelFormat kFormat>
cudaError_t start_lines(const Launch& launch, const Arguments& in) {
  return start(resize_lines<kFormat>, dim3((in.size + kThreads - 1) / kThreads, in.lines), dim3(kThreads), 0, launch.stream, in);
}

cudaError_t start_lines(const Launch& launch, PixelFormat format, const Arguments& in) {
  switch (format) {
    case PixelFormat::kRgb:
      return start_lines<PixelFormat::kRgb>(launch, in);
    case PixelFormat::kRgba:
      return start_lines<PixelFormat::kRgba>(launch, in);
    case PixelFormat::kBgr:
      return start_lines<PixelFormat::kBgr>(launch, in);
    case PixelFormat::kGray:
      return start_lines<PixelFormat::kGray>(launch, in);
    case PixelFormat::kNv12:
      return start_lines<PixelFormat::kNv12>(launch, in);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

ResizePlan plan_resize(const Image& image, int size, const Preprocessing& preprocessing) {
  const Resampling resampling = plan_resampling(image.width, image.height, size, preprocessing);
  ResizePlan plan;
  plan.format = image.format;
  plan.height = image.height;
  plan.stride = image.stride;
  plan.size = size;
  plan.background = preprocessing.background;
  plan.columns_first = resampling.columns_first;
  const auto append_axis = [&](bool columns) {
    return columns ? append(plan.table, resampling.vertical, resampling.top, image.height)
                   : append(plan.table, resampling.horizontal, resampling.left, image.width);
  };
  append_axis(plan.columns_first);
  plan.second_axis = plan.table.size();
  const auto [first, end] = append_axis(!plan.columns_first);
  plan.first_line = first;
  plan.lines = end - first;
  return plan;
}

cudaError_t resize(const Launch& launch, const ResizePlan& plan, const int32_t* table, const uint8_t* image, uint8_t* between, uint8_t* pixels) {
  static_assert(kMaxImageSide <= 65535, "lines are blocks of a grid's second dimension");
  const auto& [red, green, blue] = plan.background;
  const Arguments in{image,
                     plan.height,
                     plan.stride,
                     table,
                     table + plan.second_axis,
                     plan.size,
                     plan.first_line,
                     plan.lines,
                     plan.columns_first,
                     {red, green, blue},
                     between,
                     pixels};
  if (plan.lines > 0) {
    const cudaError_t error = start_lines(launch, plan.format, in);
    if (error != cudaSuccess) return error;
  }
  return start(join_lines, dim3((3 * plan.size + kThreads - 1) / kThreads, plan.size), dim3(kThreads), 0, launch.stream, in);
}

}  // namespace mipha::cuda
