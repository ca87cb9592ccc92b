#include "backend/cpu/pack.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace mipha::cpu {
namespace {

constexpr int8_t kForbidden = -128;

// The compiler's own vectors: the same arithmetic on SSE2 and on NEON.
typedef int8_t Bytes __attribute__((vector_size(16)));
typedef int16_t Shorts __attribute__((vector_size(16)));
typedef uint16_t UnsignedShorts __attribute__((vector_size(16)));

constexpr int kVectors = kDepthStep / static_cast<int>(sizeof(Bytes));

/// Names the first forbidden weight of these rows.
[[noreturn]] void refuse(const int8_t* weight, const Packed& shape, int first_row, int last_row) {
  const int8_t* const from = weight + static_cast<size_t>(first_row) * shape.in;
  const auto at = std::find(from, weight + static_cast<size_t>(last_row) * shape.in, kForbidden) - weight;
  throw Error(Code::kModelFormat,
              "weight at row " + std::to_string(at / shape.in) + ", column " + std::to_string(at % shape.in) + " is -128; expected -127 to 127");
}

/// One row's kDepthStep values into the panel, returning their sum. `to` is where the row's first group of four goes; bytes of `forbidden` become
/// non-zero where a value is forbidden.
int32_t place(const int8_t* values, int8_t* to, Bytes* forbidden) {
  Shorts sums = {};  // of at most eight values each
  for (int i = 0; i < kVectors; ++i) {
    Bytes part;
    std::memcpy(&part, values + i * sizeof(part), sizeof(part));
    *forbidden |= part == kForbidden;
    const Shorts pairs = reinterpret_cast<Shorts>(part);
    sums += (pairs >> 8) + (reinterpret_cast<Shorts>(reinterpret_cast<UnsignedShorts>(part) << 8) >> 8);
  }
  for (int k = 0; k < kDepthStep; k += 4) std::memcpy(to + k * kPanel, values + k, 4);
  int32_t sum = 0;
  for (size_t i = 0; i < sizeof(Shorts) / sizeof(int16_t); ++i) sum += sums[i];
  return sum;
}

bool any(Bytes bytes) {
  uint64_t halves[2];
  std::memcpy(halves, &bytes, sizeof(halves));
  return (halves[0] | halves[1]) != 0;
}

}  // namespace

void pack_panels(const int8_t* weight, const Packed& shape, int first_panel, int panel_count, int8_t* panels, int32_t* sums) {
  const int padded_in = shape.padded_in();
  for (int p = first_panel; p < first_panel + panel_count; ++p) {
    int8_t* panel = panels + p * shape.panel_bytes();
    int32_t* panel_sums = sums + p * kPanel;
    std::fill_n(panel_sums, kPanel, 0);
    Bytes forbidden = {};
    // Depth outside, rows inside: sixteen short reads fill one contiguous stretch of the panel.
    for (int k = 0; k < padded_in; k += kDepthStep) {
      for (int n = 0; n < kPanel; ++n) {
        const int row = p * kPanel + n, count = row < shape.out ? std::min(shape.in - k, kDepthStep) : 0;
        int8_t padded[kDepthStep] = {};
        const int8_t* values = padded;
        if (count > 0) {
          values = weight + static_cast<size_t>(row) * shape.in + k;
          if (count < kDepthStep) values = static_cast<const int8_t*>(std::memcpy(padded, values, count));
        }
        panel_sums[n] += place(values, panel + static_cast<size_t>(k) * kPanel + n * 4, &forbidden);
      }
    }
    if (any(forbidden)) refuse(weight, shape, p * kPanel, std::min((p + 1) * kPanel, shape.out));
  }
}

void unpack(const int8_t* panels, const Packed& shape, int8_t* weight) {
  const int padded_in = shape.padded_in();
  for (int row = 0; row < shape.padded_out(); ++row) {
    const int8_t* from = panels + row / kPanel * shape.panel_bytes() + row % kPanel * 4;
    for (int k = 0; k < padded_in; k += 4) std::memcpy(weight + static_cast<size_t>(row) * padded_in + k, from + static_cast<size_t>(k) * kPanel, 4);
  }
}

}  // namespace mipha::cpu
