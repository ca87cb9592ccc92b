// What the tower does besides its blocks: pixels to patches, positions, and the pooling of LDPv2.
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr int kThreads = 256;

unsigned blocks_of(int64_t count) {
  return static_cast<unsigned>((count + kThreads - 1) / kThreads);
}
__device__ int64_t own_index() {
  return int64_t{blockIdx.x} * kThreads + threadIdx.x;
}

struct Cut {
  int image_size, patch_size, grid, values;
  float divisor[3], shift[3];  // value / divisor − shift: Preprocessing::normalized
};

/// A block per patch.
__global__ void __launch_bounds__(kThreads) cut_patches(const Cut cut, const uint8_t* pixels, const Operand out) {
  const int top = blockIdx.x / cut.grid * cut.patch_size, left = blockIdx.x % cut.grid * cut.patch_size;
  __half* const to = static_cast<__half*>(out.values) + int64_t{blockIdx.x} * out.depth;
  const int area = cut.patch_size * cut.patch_size;
  for (int i = threadIdx.x; i < out.depth; i += kThreads) {
    float value = 0;
    if (i < cut.values) {
      const int channel = i / area, row = i % area / cut.patch_size, column = i % cut.patch_size;
      const uint8_t pixel = pixels[(int64_t{top + row} * cut.image_size + left + column) * 3 + channel];
      const float divisor = channel == 0 ? cut.divisor[0] : channel == 1 ? cut.divisor[1] : cut.divisor[2];
      value = static_cast<float>(pixel) / divisor - (channel == 0 ? cut.shift[0] : channel == 1 ? cut.shift[1] : cut.shift[2]);
    }
    to[i] = __float2half_rn(value);
  }
  if (threadIdx.x == 0) out.scale[blockIdx.x] = 1;
}

__global__ void __launch_bounds__(kThreads) place_rows(const float* prefix, const float* positions, int64_t prefix_count, int64_t count, float* x) {
  const int64_t i = own_index();
  if (i >= count) return;
  x[i] = i < prefix_count ? prefix[i] : x[i] + positions[i - prefix_count];
}

/// A thread per value of a feature.
__global__ void __launch_bounds__(kThreads)
    pool_rows(int half, int width, const float* weight, const float* bias, const float* projected, float* features) {
  const int64_t at = own_index();
  if (at >= int64_t{half} * half * width) return;
  const int i = static_cast<int>(at % width), cell = static_cast<int>(at / width), y = cell / half, x = cell % half;
  const auto mean = [&](int row, int column) {
    const float* const from = projected + (int64_t{2 * row} * 2 * half + 2 * column) * width + i;
    const int64_t below = int64_t{2 * half} * width;
    return (from[0] + from[width] + from[below] + from[below + width]) / 4;
  };
  float sum = mean(y, x) + bias[i];
  for (int tap = 0; tap < 9; ++tap) {
    const int row = y + tap / 3 - 1, column = x + tap % 3 - 1;
    if (row >= 0 && row < half && column >= 0 && column < half) sum = __fadd_rn(sum, __fmul_rn(mean(row, column), weight[int64_t{i} * 9 + tap]));
  }
  features[at] = sum;
}

}  // namespace

cudaError_t patchify(const Launch& launch, const Config& config, const uint8_t* pixels, const Operand& out) {
  const VisionConfig& vision = config.vision;
  Cut cut{vision.image_size, vision.patch_size, vision.grid(), vision.patch_values(), {}, {}};
  for (int channel = 0; channel < 3; ++channel) {
    cut.divisor[channel] = 255.0f * config.preprocessing.std[channel];
    cut.shift[channel] = config.preprocessing.mean[channel] / config.preprocessing.std[channel];
  }
  return start(cut_patches, vision.patches(), kThreads, 0, launch.stream, cut, pixels, out);
}

cudaError_t add_positions(const Launch& launch, const VisionConfig& vision, const float* prefix, const float* positions, float* x) {
  const int64_t count = int64_t{vision.rows()} * vision.hidden;
  return start(place_rows, blocks_of(count), kThreads, 0, launch.stream, prefix, positions, int64_t{vision.prefix_rows} * vision.hidden, count, x);
}

cudaError_t pool(const Launch& launch, const Config& config, const float* weight, const float* bias, const float* projected, float* features) {
  const int half = config.vision.grid() / 2, width = config.language.hidden;
  const unsigned blocks = blocks_of(int64_t{half} * half * width);
  return start(pool_rows, blocks, kThreads, 0, launch.stream, half, width, weight, bias, projected, features);
}

}  // namespace mipha::cuda
