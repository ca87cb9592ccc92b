#include "model/observe.h"

#include <algorithm>
#include <cmath>

#include "core/half.h"

namespace mipha {

void observe_columns(const float* x, int rows, int columns, float* largest) {
  for (int r = 0; r < rows; ++r, x += columns) {
    for (int c = 0; c < columns; ++c) largest[c] = std::max(largest[c], std::fabs(x[c]));
  }
}

void observe_magnitudes(const float* x, int rows, int columns, uint32_t* counts) {
  constexpr int kFirst = (kFirstOctave + 127) * kBinsPerOctave;  // the exponent and the top four bits of the mantissa number the bins
  for (int r = 0; r < rows; ++r, x += columns) {
    for (int c = 0; c < columns; ++c) {
      const int bin = static_cast<int>((bits_of_float(x[c]) & 0x7fffffff) >> 19) - kFirst;
      ++counts[static_cast<size_t>(c) * kMagnitudeBins + std::clamp(bin, 0, kMagnitudeBins - 1)];
    }
  }
}

void fake_quantize(float* x, size_t count, float scale) {
  for (size_t i = 0; i < count; ++i) x[i] = scale * std::clamp(std::nearbyint(x[i] / scale), -128.0f, 127.0f);
}

}  // namespace mipha
