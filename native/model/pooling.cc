#include "model/pooling.h"

#include <algorithm>
#include <vector>

namespace mipha {

void pool_features(const Config& config, const Weights& weights, const float* in, float* out) {
  const int grid = config.vision.grid(), half = grid / 2, width = config.language.hidden;
  std::vector<float> means(static_cast<size_t>(half) * half * width);
  const auto row = [&](auto* rows, int y, int x, int side) { return rows + (static_cast<size_t>(y) * side + x) * width; };
  for (int y = 0; y < half; ++y) {
    for (int x = 0; x < half; ++x) {
      const float *a = row(in, 2 * y, 2 * x, grid), *b = row(in, 2 * y, 2 * x + 1, grid);
      const float *c = row(in, 2 * y + 1, 2 * x, grid), *d = row(in, 2 * y + 1, 2 * x + 1, grid);
      float* const mean = row(means.data(), y, x, half);
      for (int i = 0; i < width; ++i) mean[i] = (a[i] + b[i] + c[i] + d[i]) / 4;
    }
  }
  for (int y = 0; y < half; ++y) {
    for (int x = 0; x < half; ++x) {
      const float* const centre = row(means.data(), y, x, half);
      float* const to = row(out, y, x, half);
      for (int i = 0; i < width; ++i) to[i] = centre[i] + weights.pooling_bias[i];
      for (int dy = std::max(-1, -y); dy <= std::min(1, half - 1 - y); ++dy) {
        for (int dx = std::max(-1, -x); dx <= std::min(1, half - 1 - x); ++dx) {
          const float* const near = row(means.data(), y + dy, x + dx, half);
          const int tap = (dy + 1) * 3 + dx + 1;
          for (int i = 0; i < width; ++i) to[i] += near[i] * weights.pooling[static_cast<size_t>(i) * 9 + tap];
        }
      }
    }
  }
}

}  // namespace mipha
