// Intel AMX: INT8 products of tiles, signed by signed, so that activations are stored as they are. Everything else is AVX-512, as in avx512vnni.cc.
// No processor with AMX has run this yet: native/test runs its instructions one by one in an emulator.
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_avx512.h"
#include "backend/cpu/float_kernels-inl.h"
// clang-format on
#include "backend/cpu/amx_tiles.h"
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileRowBytes = 64;
constexpr int kGroup = 4 * kPanel;                   // bytes of one panel for four values of depth: one register, or one row of a tile
constexpr int kTileBytes = kDepthStep / 4 * kGroup;  // of one panel for 64 values of depth, as they lie in memory
constexpr int kPrefetch = 4096;                      // bytes ahead, as in read_bandwidth.cc

/// Tiles 0 to 3 hold sums, 4 and 5 activations, all `height` rows; 6 and 7 hold weights.
TileShapes shapes_of(int height) {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = static_cast<uint8_t>(tile < 6 ? height : kTileRows);
    shapes.row_bytes[tile] = kTileRowBytes;
  }
  return shapes;
}

/// Rows of activations and where their sums go.
struct RowTile {
  const int8_t* a;
  size_t a_stride;
  int32_t* acc;
  size_t acc_bytes;  // from row to row

  template <int Tile>
  void load(int k) const {
    tile_load<Tile>(a + k, a_stride);
  }
  template <int Tile>
  void store(int panel) const {
    tile_store<Tile>(acc + panel * kPanel, acc_bytes);
  }
};

/// Two row tiles times one or two panels: 32 × 32 sums stay in tiles over the whole depth, and each tile that is loaded is used twice. Products take
/// twice the time of the loads then, when these come from the L1 cache.
template <int Panels>
void two_rows(const RowTile& upper, const RowTile& lower, int in, const int8_t* panels, size_t panel_bytes, int first_panel) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  const int8_t* right = panels + first_panel * panel_bytes;
  for (int k = 0; k < in; k += kDepthStep, right += kTileBytes) {
    upper.load<4>(k);
    tile_load<6>(right, kGroup);
    tile_multiply<0, 4, 6>();
    lower.load<5>(k);
    tile_multiply<2, 5, 6>();
    if constexpr (Panels == 2) {
      tile_load<7>(right + panel_bytes, kGroup);
      tile_multiply<1, 4, 7>();
      tile_multiply<3, 5, 7>();
    }
  }
  upper.store<0>(first_panel);
  lower.store<2>(first_panel);
  if constexpr (Panels == 2) {
    upper.store<1>(first_panel + 1);
    lower.store<3>(first_panel + 1);
  }
}

/// sums += left · one tile of weights, through tile 6 or 7 in turn.
template <int Sums>
void multiply_weights(const int8_t* right, bool from_memory) {
  constexpr int kRight = 6 + Sums % 2;
  if (from_memory) {
    for (int line = 0; line < kTileBytes; line += kGroup) _mm_prefetch(right + kPrefetch + line, _MM_HINT_T1);
  }
  tile_load<kRight>(right, kGroup);
  tile_multiply<Sums, 4, kRight>();
}

/// One row tile times up to four panels, whose weights pass once, in as many linear streams.
template <int Panels>
void one_row_tile(const RowTile& rows, int in, const int8_t* panels, size_t panel_bytes, bool from_memory) {
  tile_zero<0>();
  tile_zero<1>();
  tile_zero<2>();
  tile_zero<3>();
  for (int k = 0; k < in; k += kDepthStep, panels += kTileBytes) {
    rows.load<4>(k);
    multiply_weights<0>(panels, from_memory);
    if constexpr (Panels > 1) multiply_weights<1>(panels + panel_bytes, from_memory);
    if constexpr (Panels > 2) multiply_weights<2>(panels + 2 * panel_bytes, from_memory);
    if constexpr (Panels > 3) multiply_weights<3>(panels + 3 * panel_bytes, from_memory);
  }
  rows.store<0>(0);
  if constexpr (Panels > 1) rows.store<1>(1);
  if constexpr (Panels > 2) rows.store<2>(2);
  if constexpr (Panels > 3) rows.store<3>(3);
}

/// One row: memory sets the pace, and vectors read each panel as one linear stream without configuring tiles, which would cost more than the products
/// of a small matrix. VPDPBUSD is unsigned by signed: a + 128 is a with its sign bit turned, and the sums start at −128 · Σ w.
void one_row(const int8_t* a, int in, const int8_t* panel, const int32_t* panel_sums, int32_t* acc) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i sums[4] = {_mm512_sub_epi32(zero, _mm512_slli_epi32(_mm512_loadu_si512(panel_sums), 7)), zero, zero, zero};
  for (int k = 0; k < in; k += 16, panel += 4 * kGroup) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      uint32_t four;
      __builtin_memcpy(&four, a + k + 4 * j, sizeof four);
      sums[j] = _mm512_dpbusd_epi32(sums[j], _mm512_set1_epi32(static_cast<int>(four ^ 0x80808080)), _mm512_loadu_si512(panel + j * kGroup));
    }
  }
  _mm512_storeu_si512(acc, _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t* panel_sums, int32_t* acc) {
  const size_t panel_bytes = static_cast<size_t>(in) * kPanel, columns = static_cast<size_t>(panel_count) * kPanel;
  if (rows == 1) {
    for (int n = 0; n < panel_count; ++n) one_row(a, in, panels + n * panel_bytes, panel_sums + n * kPanel, acc + n * kPanel);
    return;
  }
  // Row tiles of one height, so that one configuration serves: the last begins earlier where it must, and computes the same sums again.
  const int row_tiles = (rows + kTileRows - 1) / kTileRows, height = (rows + row_tiles - 1) / row_tiles;
  const auto row_tile = [&](int index) -> RowTile {
    const int first = index < row_tiles - 1 ? index * height : rows - height;
    return {a + first * a_stride, a_stride, acc + first * columns, columns * sizeof *acc};
  };
  // Configured and released within the call, of which the products take thousands of cycles. Between calls a thread then holds no tiles: the kernel
  // has 8 KB less to save when it switches threads, a core may sleep deeply, and nobody else's tiles are in the way, whichever thread calls.
  tile_configure(shapes_of(height));
  int m = 0;
  for (; m + 2 <= row_tiles; m += 2) {
    int n = 0;
    for (; n + 2 <= panel_count; n += 2) two_rows<2>(row_tile(m), row_tile(m + 1), in, panels, panel_bytes, n);
    if (n < panel_count) two_rows<1>(row_tile(m), row_tile(m + 1), in, panels, panel_bytes, n);
  }
  if (m < row_tiles) {
    using OneRowTile = void (*)(const RowTile&, int, const int8_t*, size_t, bool);
    static constexpr OneRowTile kOneRowTile[kMaxPanels] = {one_row_tile<1>, one_row_tile<2>, one_row_tile<3>, one_row_tile<4>};
    kOneRowTile[panel_count - 1](row_tile(m), in, panels, panel_bytes, row_tiles == 1);
  }
  tile_release();
}

}  // namespace

const Kernels kAmxKernels = {"amx",          0,           gemm_s8,    dequantize,   quantize<0>,   layer_norm, rms_norm, gelu_tanh, gelu_erf,
                             swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                             transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
