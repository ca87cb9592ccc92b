// The AMX instructions that we use, one function each. As bytes, because older assemblers do not know their names, such as Ubuntu 20.04's, where npm
// compiles the addon too; test/native/amx.test.ts has the bytes read by a disassembler that does. As volatile asm with "memory", because GCC 12's
// intrinsics name too little of the memory they read, and stores before them get lost.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mipha::cpu {
namespace {

/// What LDTILECFG reads: the shapes of tiles TMM0 to TMM7; a tile of no rows cannot be used.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileShapes) == 64);

/// LDTILECFG. All tiles are zero afterwards.
inline void tile_configure(const TileShapes& shapes) {
  asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0x00" : : "a"(&shapes) : "memory");
}

/// TILERELEASE.
inline void tile_release() {
  asm volatile(".byte 0xc4, 0xe2, 0x78, 0x49, 0xc0" : : : "memory");
}

/// TILEZERO.
template <int Tile>
void tile_zero() {
  asm volatile(".byte 0xc4, 0xe2, 0x7b, 0x49, 0xc0 + 8 * %c0" : : "i"(Tile) : "memory");
}

/// TILELOADD: the rows of the tile lie `stride` bytes apart, anywhere.
template <int Tile>
void tile_load(const void* at, size_t stride) {
  asm volatile(".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x04 + 8 * %c0, 0x10" : : "i"(Tile), "a"(at), "d"(stride) : "memory");
}

/// TILESTORED, likewise.
template <int Tile>
void tile_store(void* at, size_t stride) {
  asm volatile(".byte 0xc4, 0xe2, 0x7a, 0x4b, 0x04 + 8 * %c0, 0x10" : : "i"(Tile), "a"(at), "d"(stride) : "memory");
}

/// TDPBSSD: sums[m][n] += Σ_k left[m][k] · right[k / 4][n][k % 4], int8 times int8 into int32.
template <int Sums, int Left, int Right>
void tile_multiply() {
  asm volatile(".byte 0xc4, 0xe2, 0x7b ^ 8 * %c2, 0x5e, 0xc0 + 8 * %c0 + %c1" : : "i"(Sums), "i"(Left), "i"(Right) : "memory");
}

}  // namespace
}  // namespace mipha::cpu
