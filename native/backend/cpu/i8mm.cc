// AArch64 with FEAT_I8MM. SMMLA multiplies two rows of activations by two of weights over eight values of depth: twice the products of SDOT.
// It wants eight values of a row side by side where a panel has four, so every call interleaves both sides once, which is an eighth of the work for
// 48 rows. Panels of an order of their own would halve that, for a second packer and its tests.
//
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_neon.h"
#include "backend/cpu/float_kernels-inl.h"
#include "backend/cpu/dotprod-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

// 3 × 8 accumulators, 3 activations and the weights that pass, of 32 registers. 8 values of depth are 24 SMMLA for 11 loads, so that two SMMLA a
// cycle, which is what Neoverse-V3AE issues, ask for not quite one load a cycle of the three that it can do.
constexpr int kPairs = 3;  // pairs of rows
constexpr int kMostPairs = (kMaxRows + 1) / 2;
constexpr int kPanelPairs = kPanel / 2;  // pairs of output rows
constexpr int kFewRows = 5;              // up to here interleaving costs more than SMMLA saves

using Tile = int32x4_t;  // sums of a pair of rows and a pair of output rows: [2][2]

/// Activations [rows][depth] as [pair][depth / 8][2][8]; a last row without a partner stands beside zeros.
void interleave_rows(const int8_t* a, size_t a_stride, int rows, int depth, int8_t* pairs) {
  for (int m = 0; m < rows; m += 2) {
    const int8_t* const row = a + m * a_stride;
    for (int k = 0; k < depth; k += 16, pairs += 32) {
      const int64x2_t first = vreinterpretq_s64_s8(vld1q_s8(row + k));
      const int64x2_t second = m + 1 < rows ? vreinterpretq_s64_s8(vld1q_s8(row + a_stride + k)) : vdupq_n_s64(0);
      vst1q_s8(pairs, vreinterpretq_s8_s64(vzip1q_s64(first, second)));
      vst1q_s8(pairs + 16, vreinterpretq_s8_s64(vzip2q_s64(first, second)));
    }
  }
}

/// Weights of a panel [depth / 4][16][4] as [depth / 8][16][8].
void interleave_panel(const int8_t* panel, int depth, int8_t* weights) {
  for (int k = 0; k < depth; k += 8, panel += 8 * kPanel, weights += 8 * kPanel) {
#pragma GCC unroll 4
    for (int n = 0; n < 4; ++n) {
      const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(panel + n * 16)), second = vreinterpretq_s32_s8(vld1q_s8(panel + 4 * kPanel + n * 16));
      vst1q_s8(weights + n * 32, vreinterpretq_s8_s32(vzip1q_s32(first, second)));
      vst1q_s8(weights + n * 32 + 16, vreinterpretq_s8_s32(vzip2q_s32(first, second)));
    }
  }
}

/// sums [Pairs][sums_stride] += pairs [Pairs][depth / 8][2][8] times one interleaved panel.
template <int Pairs>
void smmla_block(const int8_t* pairs, int depth, const int8_t* weights, Tile* sums, int sums_stride) {
  Tile tiles[Pairs][kPanelPairs];
#pragma GCC unroll 3
  for (int m = 0; m < Pairs; ++m) {
#pragma GCC unroll 8
    for (int n = 0; n < kPanelPairs; ++n) tiles[m][n] = sums[m * sums_stride + n];
  }
  for (int k = 0; k < depth; k += 8, weights += 8 * kPanel) {
    int8x16_t left[Pairs];
#pragma GCC unroll 3
    for (int m = 0; m < Pairs; ++m) left[m] = vld1q_s8(pairs + 2 * (m * depth + k));
#pragma GCC unroll 8
    for (int n = 0; n < kPanelPairs; ++n) {
      const int8x16_t right = vld1q_s8(weights + n * 16);
#pragma GCC unroll 3
      for (int m = 0; m < Pairs; ++m) tiles[m][n] = vmmlaq_s32(tiles[m][n], left[m], right);
    }
  }
#pragma GCC unroll 3
  for (int m = 0; m < Pairs; ++m) {
#pragma GCC unroll 8
    for (int n = 0; n < kPanelPairs; ++n) sums[m * sums_stride + n] = tiles[m][n];
  }
}

/// Tiles [pairs][columns / 2] as acc [rows][columns].
void untile(const Tile* tiles, int rows, int columns, int32_t* acc) {
  for (int m = 0; m < rows; m += 2) {
    for (int n = 0; n < columns; n += 4, tiles += 2) {
      const int64x2_t left = vreinterpretq_s64_s32(tiles[0]), right = vreinterpretq_s64_s32(tiles[1]);
      vst1q_s32(acc + m * columns + n, vreinterpretq_s32_s64(vzip1q_s64(left, right)));
      if (m + 1 < rows) vst1q_s32(acc + (m + 1) * columns + n, vreinterpretq_s32_s64(vzip2q_s64(left, right)));
    }
  }
}

void smmla_gemm(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, int32_t* acc) {
  using Block = void (*)(const int8_t*, int, const int8_t*, Tile*, int);
  static constexpr Block kBlocks[kPairs] = {smmla_block<1>, smmla_block<2>, smmla_block<3>};
  alignas(64) int8_t left[kMostPairs * 2 * kDepthChunk], right[kPanel * kDepthChunk];
  Tile tiles[kMostPairs * kMaxPanels * kPanelPairs];
  const size_t panel_bytes = static_cast<size_t>(in) * kPanel;
  const int pairs = (rows + 1) / 2, stride = panel_count * kPanelPairs;
  __builtin_memset(tiles, 0, pairs * stride * sizeof *tiles);
  for (int k = 0, depth; k < in; k += depth) {
    depth = next_depth(in - k);
    interleave_rows(a + k, a_stride, rows, depth, left);
    for (int n = 0; n < panel_count; ++n) {
      interleave_panel(panels + n * panel_bytes + static_cast<size_t>(k) * kPanel, depth, right);
      for (int m = 0, taken; m < pairs; m += taken) {
        taken = share(pairs - m, kPairs);
        kBlocks[taken - 1](left + 2 * m * depth, depth, right, tiles + m * stride + n * kPanelPairs, stride);
      }
    }
  }
  untile(tiles, rows, panel_count * kPanel, acc);
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t*, int32_t* acc) {
  const auto gemm = rows <= kFewRows ? sdot_gemm : smmla_gemm;
  gemm(a, a_stride, rows, in, panels, panel_count, acc);
}

}  // namespace

const Kernels kI8mmKernels = {"i8mm",         0,           gemm_s8,    dequantize,   quantize<0>,   layer_norm, rms_norm, gelu_tanh, gelu_erf,
                              swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                              transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
