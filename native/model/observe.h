// What calibration wants to know about the rows that enter a product, and what static quantization does to them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mipha {

/// largest[c] = max(largest[c], |x[r, c]|). x [rows, columns].
void observe_columns(const float* x, int rows, int columns, float* largest);

/// Bins of magnitudes: sixteen in each octave, the first from 2^kFirstOctave on. What lies outside falls into the first or the last. A factor that
/// is a power of two moves a value by whole bins, so that counts by column tell what any smoothing would give.
constexpr int kBinsPerOctave = 16, kFirstOctave = -14, kOctaves = 28;
constexpr int kMagnitudeBins = kBinsPerOctave * kOctaves;

/// counts[c, bin of |x[r, c]|] += 1. x [rows, columns], counts [columns, kMagnitudeBins].
void observe_magnitudes(const float* x, int rows, int columns, uint32_t* counts);

/// x = scale · clamp(round_half_even(x / scale), −128, 127): ONNX QuantizeLinear and DequantizeLinear, one scale for the whole tensor, zero point 0.
void fake_quantize(float* x, size_t count, float scale);

}  // namespace mipha
