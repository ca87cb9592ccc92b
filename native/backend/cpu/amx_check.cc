#include "backend/cpu/amx_check.h"

#include <time.h>

#include "backend/cpu/amx_tiles.h"

namespace mipha::cpu {
namespace {

constexpr int kRows = 16, kRowBytes = 64, kColumns = 16;
constexpr int kProducts = 4;  // with a sleep before each

void sleep_a_millisecond() {
  const timespec millisecond = {0, 1'000'000};
  nanosleep(&millisecond, nullptr);
}

}  // namespace

bool amx_is_right() {
  int8_t left[kRows][kRowBytes], right[kRows][kColumns][4];
  for (int m = 0; m < kRows; ++m) {
    for (int k = 0; k < kRowBytes; ++k) left[m][k] = static_cast<int8_t>((m * 89 + k * 53) % 255 - 127);
    for (int n = 0; n < kColumns * 4; ++n) right[m][n / 4][n % 4] = static_cast<int8_t>((m * 31 + n * 71) % 255 - 127);
  }

  TileShapes shapes;
  for (int tile = 0; tile < 3; ++tile) {
    shapes.rows[tile] = kRows;
    shapes.row_bytes[tile] = kRowBytes;
  }
  int32_t sums[kRows][kColumns];
  tile_configure(shapes);
  tile_zero<0>();
  tile_load<1>(left, kRowBytes);
  tile_load<2>(right, kRowBytes);
  for (int product = 0; product < kProducts; ++product) {
    sleep_a_millisecond();
    tile_multiply<0, 1, 2>();
  }
  tile_store<0>(sums, sizeof *sums);
  tile_release();

  for (int m = 0; m < kRows; ++m) {
    for (int n = 0; n < kColumns; ++n) {
      int32_t expected = 0;
      for (int k = 0; k < kRowBytes; ++k) expected += left[m][k] * right[k / 4][n][k % 4];
      if (sums[m][n] != kProducts * expected) return false;
    }
  }
  return true;
}

}  // namespace mipha::cpu
