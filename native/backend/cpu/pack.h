// INT8 weights in the one tile order of all kernels: [out / 16][in / 4][16][4] (see kernels.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/kernels.h"

namespace mipha::cpu {

/// Sizes of one packed matrix, from its real ones.
struct Packed {
  int out = 0;
  int in = 0;

  int panels() const { return (out + kPanel - 1) / kPanel; }
  int padded_out() const { return panels() * kPanel; }
  int padded_in() const { return (in + kDepthStep - 1) / kDepthStep * kDepthStep; }
  size_t panel_bytes() const { return static_cast<size_t>(padded_in()) * kPanel; }
  size_t bytes() const { return panels() * panel_bytes(); }
};

/// Packs panels [first_panel, first_panel + panel_count) of weight [out, in]; different ranges may be packed by different threads.
/// panels: the whole packed matrix, shape.bytes(). sums: [padded_out] Σ_k weight[n][k]. Padding becomes zero.
/// Throws kModelFormat naming row and column of a −128.
void pack_panels(const int8_t* weight, const Packed& shape, int first_panel, int panel_count, int8_t* panels, int32_t* sums);

/// The inverse, for tests: weight [padded_out, padded_in].
void unpack(const int8_t* panels, const Packed& shape, int8_t* weight);

}  // namespace mipha::cpu
