// AArch64 with the dot product extension (ARMv8.2 DotProd). SDOT by lane: 16 weights (four output rows × four values of depth) times one
// group of four activations, signed by signed, so no correction is needed.
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_neon.h"
#include "backend/cpu/float_kernels-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kRows = 4;  // 4 × 4 accumulators, 4 activations and 4 weights of 32 registers

/// Four values of depth: sums[m][j] += lane `Lane` of left[m] · rows 4j … 4j + 3 of the panel.
template <int Rows, int Lane>
inline void group(int32x4_t (&sums)[Rows][4], const int8x16_t (&left)[Rows], const int8_t* panel) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const int8x16_t weights = vld1q_s8(panel + Lane * 4 * kPanel + j * 16);
#pragma GCC unroll 4
    for (int m = 0; m < Rows; ++m) sums[m][j] = vdotq_laneq_s32(sums[m][j], weights, left[m], Lane);
  }
}

/// acc [Rows][acc_stride] = a [Rows][in] times one panel, read as one linear stream.
template <int Rows>
void block(const int8_t* a, size_t a_stride, int in, const int8_t* panel, int32_t* acc, size_t acc_stride) {
  int32x4_t sums[Rows][4];
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[m][j] = vdupq_n_s32(0);
  }
  for (int k = 0; k < in; k += 16, panel += 16 * kPanel) {
    int8x16_t left[Rows];
#pragma GCC unroll 4
    for (int m = 0; m < Rows; ++m) left[m] = vld1q_s8(a + m * a_stride + k);
    group<Rows, 0>(sums, left, panel);
    group<Rows, 1>(sums, left, panel);
    group<Rows, 2>(sums, left, panel);
    group<Rows, 3>(sums, left, panel);
  }
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) vst1q_s32(acc + m * acc_stride + j * 4, sums[m][j]);
  }
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t*, int32_t* acc) {
  using Block = void (*)(const int8_t*, size_t, int, const int8_t*, int32_t*, size_t);
  static constexpr Block kBlocks[kRows] = {block<1>, block<2>, block<3>, block<4>};
  const size_t acc_stride = static_cast<size_t>(panel_count) * kPanel;
  for (int n = 0; n < panel_count; ++n) {
    const int8_t* panel = panels + static_cast<size_t>(n) * in * kPanel;
    for (int m = 0; m < rows;) {
      const int taken = share(rows - m, kRows);
      kBlocks[taken - 1](a + m * a_stride, a_stride, in, panel, acc + m * acc_stride + n * kPanel, acc_stride);
      m += taken;
    }
  }
}

}  // namespace

const Kernels kDotprodKernels = {
    "dotprod", 0,        gemm_s8,  dequantize,    quantize<0>, layer_norm, rms_norm,  gelu_tanh,      gelu_erf, swish,
    add,       multiply, gemm_f32, softmax_block, scale,       to_half,    from_half, transpose_half, dot_half, weighted_half};

}  // namespace mipha::cpu
