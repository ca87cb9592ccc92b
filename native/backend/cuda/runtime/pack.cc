#include "backend/cuda/runtime/pack.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace mipha::cuda {

Layout::Layout(const Linear& linear, const RowOrder& order)
    : half(linear.dtype == DType::kF16),
      out(linear.out),
      in(linear.in),
      places(order.places(linear.out)),
      depth(rounded_up(linear.in, kTileDepth)),
      order(order) {}

void pack(const Layout& layout, const Linear& linear, int row_tile, uint8_t* out) {
  const size_t tile_bytes = layout.half ? kF16TileBytes : kS8TileBytes;
  std::memset(out, 0, layout.row_tile_bytes());
  for (int r = 0; r < kTileRows; ++r) {
    const int row = layout.order.row(row_tile * kTileRows + r, layout.out);
    if (row < 0) continue;
    const size_t start = static_cast<size_t>(row) * layout.in;
    if (layout.half) {
      const uint16_t* const from = static_cast<const uint16_t*>(linear.weight) + start;
      for (int column = 0; column < layout.in; ++column) {
        std::memcpy(out + column / kTileDepth * tile_bytes + 2 * f16_offset(r, column % kTileDepth), from + column, 2);
      }
      continue;
    }
    const int8_t* const from = static_cast<const int8_t*>(linear.weight) + start;
    const int8_t* const wrong = std::find(from, from + layout.in, int8_t{-128});
    if (wrong != from + layout.in) {
      throw Error(Code::kModelFormat,
                  "weight at row " + std::to_string(row) + ", column " + std::to_string(wrong - from) + " is -128; expected -127 to 127");
    }
    for (int column = 0; column < layout.in; column += 4) {  // four columns lie together
      std::memcpy(out + column / kTileDepth * tile_bytes + s8_offset(r, column % kTileDepth), from + column, std::min(4, layout.in - column));
    }
  }
}

void by_place(const Layout& layout, const float* values, float padding, float* out) {
  for (int place = 0; place < layout.places; ++place) {
    const int row = layout.order.row(place, layout.out);
    out[place] = row < 0 || values == nullptr ? padding : values[row];
  }
}

}  // namespace mipha::cuda
