#include "backend/cpu/pack.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace mipha::cpu {
namespace {

constexpr int8_t kForbidden = -128;

[[noreturn]] void refuse(const int8_t* values, int count, int row, int first_column) {
  const auto column = first_column + (std::find(values, values + count, kForbidden) - values);
  throw Error(Code::kModelFormat, "weight at row " + std::to_string(row) + ", column " + std::to_string(column) + " is -128; expected -127 to 127");
}

/// One row's kDepthStep values into the panel, returning their sum. `to` is where the row's first group of four goes.
int32_t place(const int8_t* values, int8_t* to) {
  int32_t sum = 0;
  for (int k = 0; k < kDepthStep; ++k) sum += values[k];
  for (int k = 0; k < kDepthStep; k += 4) std::memcpy(to + k * kPanel, values + k, 4);
  return sum;
}

bool has_forbidden(const int8_t* values) {
  int8_t least = 0;
  for (int k = 0; k < kDepthStep; ++k) least = std::min(least, values[k]);
  return least == kForbidden;
}

}  // namespace

void pack_panels(const int8_t* weight, const Packed& shape, int first_panel, int panel_count, int8_t* panels, int32_t* sums) {
  const int padded_in = shape.padded_in();
  for (int p = first_panel; p < first_panel + panel_count; ++p) {
    int8_t* panel = panels + p * shape.panel_bytes();
    int32_t* panel_sums = sums + p * kPanel;
    std::fill_n(panel_sums, kPanel, 0);
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
        if (has_forbidden(values)) refuse(values, count, row, k);
        panel_sums[n] += place(values, panel + static_cast<size_t>(k) * kPanel + n * 4);
      }
    }
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
