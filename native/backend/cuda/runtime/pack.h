// Matrices of a package in the order of the device (kernels/layout.h). Plain C++: the same bytes wherever it runs.
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/layout.h"
#include "model/weights.h"

namespace mipha::cuda {

/// A Linear laid out: sizes only.
struct Layout {
  bool half = false;  // FP16 tiles
  int out = 0, in = 0, places = 0, depth = 0;
  RowOrder order;

  Layout() = default;
  Layout(const Linear& linear, const RowOrder& order);

  int row_tiles() const { return places / kTileRows; }
  size_t row_tile_bytes() const { return static_cast<size_t>(depth / kTileDepth) * (half ? kF16TileBytes : kS8TileBytes); }
  size_t bytes() const { return row_tiles() * row_tile_bytes(); }
};

/// One row tile of `linear` → out [row_tile_bytes]. Throws kModelFormat for a weight of −128, which quantization never makes.
void pack(const Layout& layout, const Linear& linear, int row_tile, uint8_t* out);

/// values [out] by place, `padding` where there is only padding: [places].
void by_place(const Layout& layout, const float* values, float padding, float* out);

}  // namespace mipha::cuda
