// How a matrix lies on the device: tiles of 16 rows × 32 columns in the order of the tensor core's A operand, so that 16 bytes per lane are one
// operand. The same tiles serve decode, batched decode and prefill. Known to host and kernels alike.
//
// Within a tile lane = 4g + t (g 0..7, t 0..3) has columns 4t..4t+3 and 16+4t..16+4t+3 of rows g and g + 8:
//   INT8 (mma m16n8k32): one load of 16 bytes: [half of the columns][row g, row g + 8][4 columns].
//   FP16 (mma m16n8k16 twice): per half of the columns one load of 16 bytes: [columns 4t, 4t+1 | 4t+2, 4t+3][row g, row g + 8][2 columns]. The
//   operand's k runs in that order too, so that lane (g, t) of B needs columns 4t..4t+3 of token g: 8 bytes in a row. INT8 tiles whose input stays
//   wide are used the same way once each byte has become a half.
#pragma once

#include <cstddef>
#include <cstdint>

#ifdef __CUDACC__
#define MIPHA_BOTH __host__ __device__
#else
#define MIPHA_BOTH
#endif

namespace mipha::cuda {

constexpr int kTileRows = 16, kTileDepth = 32, kLanes = 32;

MIPHA_BOTH constexpr int rounded_up(int value, int step) {
  return (value + step - 1) / step * step;
}

/// Which row of a matrix stands at which place of its tiles. Two rows whose results meet, the two of a rotation or a gate and what it gates, stand 8
/// places apart: one lane holds both.
struct RowOrder {
  int gated = 0;  // > 0: `intermediate` gate rows, then as many up rows
  int head_size = 0, rotary = 0,
      rotated_rows = 0;  // rotary > 0: of the heads within the first `rotated_rows` rows; head_size and rotary divide by 16

  /// Places that `out` rows take, a multiple of 16.
  MIPHA_BOTH int places(int out) const { return gated > 0 ? 2 * rounded_up(gated, 8) : rounded_up(out, kTileRows); }

  /// The row at `place`, −1 where there is only padding.
  MIPHA_BOTH int row(int place, int out) const {
    const int tile = place / kTileRows, r = place % kTileRows;
    if (gated > 0) {
      const int pair = 8 * tile + r % 8;
      return pair >= gated ? -1 : r < 8 ? pair : gated + pair;
    }
    if (place >= out) return -1;
    if (place < rotated_rows) {
      const int head = place / head_size, within = place % head_size;
      if (within < rotary) return head * head_size + (within / kTileRows) * 8 + r % 8 + (r < 8 ? 0 : rotary / 2);
    }
    return place;
  }
};

/// Byte of element (row within the tile, column within the tile) in an INT8 tile of 512 bytes.
MIPHA_BOTH constexpr int s8_offset(int row, int column) {
  return ((row % 8) * 4 + column % 16 / 4) * 16 + column / 16 * 8 + row / 8 * 4 + column % 4;
}
/// Half (2 bytes) of the element in an FP16 tile of 512 halves.
MIPHA_BOTH constexpr int f16_offset(int row, int column) {
  return column / 16 * 256 + ((row % 8) * 4 + column % 16 / 4) * 8 + column % 4 / 2 * 4 + row / 8 * 2 + column % 2;
}
constexpr size_t kS8TileBytes = 512, kF16TileBytes = 1024;

/// Rows of keys and values lie in blocks of so many rows (backend/block_tables.h).
constexpr int kBlockRows = 32;

/// Most sequences of one decode step: Backend::kMaxBatch.
constexpr int kMostSequences = 8;

}  // namespace mipha::cuda
