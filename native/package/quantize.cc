#include "package/quantize.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/half.h"

namespace mipha {
namespace {

constexpr int kFactors = 14;     // scale candidates: 1 − i / 64
constexpr float kLargest = 127;  // INT8, symmetric
constexpr size_t kBlock = 256;   // values summed in float before the sum moves to double

// Four floats side by side: one SSE or NEON register, so that the order of additions is written here and not chosen by a compiler.
typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
constexpr size_t kLanes = 4;
constexpr size_t kStep = 2 * kLanes;  // two running sums hide the latency of the addition

Float4 load(const float* x) {
  Float4 value;
  std::memcpy(&value, x, sizeof value);
  return value;
}

Float4 broadcast(float x) {
  return Float4{x, x, x, x};
}

Float4 clamp(Float4 x) {
  const Float4 high = broadcast(kLargest), low = broadcast(-kLargest);
  x = x > high ? high : x;
  return x < low ? low : x;
}

/// Half to even, for |x| < 2^22: adding 1.5 · 2^23 leaves no bits for a fraction.
Float4 round(Float4 x) {
  const Float4 magic = broadcast(0x1.8p23f);
  return (x + magic) - magic;
}

/// Σ (x / scale − q)² over the row in units of scale², or anything ≥ limit once it is clear that the sum will not stay below.
/// `count` is a multiple of kBlock, padded with zeros (which add nothing).
double error(const float* x, size_t count, float inverse, double limit) {
  const Float4 factor = broadcast(inverse);
  double sum = 0;
  for (size_t block = 0; block < count && sum < limit; block += kBlock) {
    Float4 even = broadcast(0), odd = broadcast(0);
    for (size_t i = block; i < block + kBlock; i += kStep) {
      const Float4 a = load(x + i) * factor, b = load(x + i + kLanes) * factor;
      const Float4 da = a - round(clamp(a)), db = b - round(clamp(b));
      even += da * da;
      odd += db * db;
    }
    const Float4 both = even + odd;
    sum += (static_cast<double>(both[0]) + both[1]) + (static_cast<double>(both[2]) + both[3]);
  }
  return sum;
}

void write(const float* x, size_t count, float inverse, int8_t* out) {
  const Float4 factor = broadcast(inverse);
  for (size_t i = 0; i < count; i += kLanes) {
    const Int4 rounded = __builtin_convertvector(round(clamp(load(x + i) * factor)), Int4);
    for (size_t lane = 0; lane < kLanes && i + lane < count; ++lane) out[i + lane] = static_cast<int8_t>(rounded[lane]);
  }
}

/// Best scale for a row with that largest magnitude.
float best_scale(const float* x, size_t count, float largest) {
  double least = std::numeric_limits<double>::infinity();
  float best = 0;
  for (int i = 0; i < kFactors; ++i) {
    const float scale = (largest / kLargest) * (1 - static_cast<float>(i) / 64);
    const double square = static_cast<double>(scale) * scale;
    // The largest value alone saturates by this much, and by more with every smaller scale.
    const double saturation = static_cast<double>(largest) - static_cast<double>(scale) * kLargest;
    if (saturation * saturation >= least) break;
    const double limit = least / square, sum = error(x, count, 1 / scale, limit);
    if (sum < limit) {
      least = sum * square;
      best = scale;
    }
  }
  return best;
}

template <SourceType type>
void widen(const unsigned char* source, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    if constexpr (type == SourceType::kF32) {
      std::memcpy(out + i, source + 4 * i, 4);
    } else {
      uint16_t bits;
      std::memcpy(&bits, source + 2 * i, 2);
      out[i] = type == SourceType::kF16 ? from_half(bits) : from_bfloat16(bits);
    }
  }
}

void widen(SourceType type, const unsigned char* source, size_t count, float* out) {
  if (type == SourceType::kBF16) widen<SourceType::kBF16>(source, count, out);
  if (type == SourceType::kF16) widen<SourceType::kF16>(source, count, out);
  if (type == SourceType::kF32) widen<SourceType::kF32>(source, count, out);
}

/// As bits: magnitudes of floats order like integers, and NaN and infinity come out on top.
uint32_t largest_magnitude(const float* x, size_t count) {
  uint32_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t magnitude = bits_of_float(x[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

[[noreturn]] void refuse(const float* x, int64_t row) {
  int64_t column = 0;
  while (std::isfinite(x[column])) ++column;
  throw Error(Code::kModelFormat,
              std::string(std::isnan(x[column]) ? "NaN" : "infinity") + " at row " + std::to_string(row) + ", column " + std::to_string(column),
              {{"row", static_cast<double>(row)}, {"column", static_cast<double>(column)}});
}

constexpr float kSmallestHalf = 0x1p-14f;  // below it FP16 loses bits

float half_scale(float scale, int64_t row) {
  const float rounded = from_half(to_half(std::fmax(scale, kSmallestHalf)));
  if (std::isfinite(rounded)) return rounded;
  throw Error(Code::kModelFormat, "row " + std::to_string(row) + " needs a scale of " + std::to_string(scale) + ": expected one within FP16",
              {{"row", static_cast<double>(row)}});
}

}  // namespace

void quantize_rows(const void* source, SourceType type, int64_t rows, int64_t columns, int8_t* weight, float* scale, int64_t first_row,
                   bool half_scales) {
  const size_t count = static_cast<size_t>(columns), padded = (count + kBlock - 1) / kBlock * kBlock;
  const size_t row_bytes = count * (type == SourceType::kF32 ? 4 : 2);
  std::vector<float> values(padded);
  for (int64_t row = 0; row < rows; ++row, weight += columns) {
    widen(type, static_cast<const unsigned char*>(source) + row * row_bytes, count, values.data());
    const float largest = float_from_bits(largest_magnitude(values.data(), count));
    if (!std::isfinite(largest)) refuse(values.data(), first_row + row);
    if (largest < kSmallestRow) {
      scale[row] = 0;
      std::memset(weight, 0, count);
      continue;
    }
    scale[row] = best_scale(values.data(), padded, largest);
    if (half_scales) scale[row] = half_scale(scale[row], first_row + row);
    write(values.data(), count, 1 / scale[row], weight);
  }
}

}  // namespace mipha
