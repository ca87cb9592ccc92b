// The integer product by SDOT, for cores with the dot product extension (ARMv8.2 DotProd), and where SMMLA does not pay. By lane it multiplies 16
// weights (four output rows × four values of depth) by one group of four activations, signed by signed, so that no correction is needed. Comes after
// a wrapper and float_kernels-inl.h.
#pragma once

#include <arm_neon.h>

#include "backend/cpu/kernels.h"

namespace mipha::cpu {
namespace {

// 6 × 4 accumulators, 6 activations and the weights that pass: all 32 registers. 16 values of depth are 96 SDOT for 22 loads, so that two SDOT a
// cycle, which is what Cortex-A78AE issues, ask for one load in two cycles. The registers suffice as long as GCC does not schedule before it gives
// them out: -fno-schedule-insns in gyp/sources.gypi.
constexpr int kSdotRows = 6;

// Values of depth that all rows pass before the next: 16 KiB of a panel stay in the L1 cache (64 KiB) and 48 rows of it in the L2 (256 KiB), where a
// whole panel of Phi-2's fc2 has 160 KiB and its rows 480.
constexpr int kDepthChunk = 1024;
static_assert(kDepthChunk % kDepthStep == 0, "next_depth() would exceed it");

/// Of `left`, a multiple of kDepthStep: chunks of nearly one size.
inline int next_depth(int left) {
  const int chunks = (left + kDepthChunk - 1) / kDepthChunk, steps = left / kDepthStep;
  return (steps + chunks - 1) / chunks * kDepthStep;
}

/// Four values of depth: sums[m][j] += lane `Lane` of left[m] · rows 4j … 4j + 3 of the panel.
template <int Rows, int Lane>
inline void sdot_group(int32x4_t (&sums)[Rows][4], const int8x16_t (&left)[Rows], const int8_t* panel) {
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const int8x16_t weights = vld1q_s8(panel + Lane * 4 * kPanel + j * 16);
#pragma GCC unroll 6
    for (int m = 0; m < Rows; ++m) sums[m][j] = vdotq_laneq_s32(sums[m][j], weights, left[m], Lane);
  }
}

/// acc [Rows][acc_stride] += a [Rows][depth] times one panel, read as one linear stream.
template <int Rows>
void sdot_block(const int8_t* a, size_t a_stride, int depth, const int8_t* panel, int32_t* acc, size_t acc_stride) {
  int32x4_t sums[Rows][4];
#pragma GCC unroll 6
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[m][j] = vld1q_s32(acc + m * acc_stride + j * 4);
  }
  for (int k = 0; k < depth; k += 16, panel += 16 * kPanel) {
    int8x16_t left[Rows];
#pragma GCC unroll 6
    for (int m = 0; m < Rows; ++m) left[m] = vld1q_s8(a + m * a_stride + k);
    sdot_group<Rows, 0>(sums, left, panel);
    sdot_group<Rows, 1>(sums, left, panel);
    sdot_group<Rows, 2>(sums, left, panel);
    sdot_group<Rows, 3>(sums, left, panel);
  }
#pragma GCC unroll 6
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) vst1q_s32(acc + m * acc_stride + j * 4, sums[m][j]);
  }
}

/// Up to kSdotRows rows memory sets the pace: the weights pass once, panel by panel, as one linear stream.
void sdot_gemm(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, int32_t* acc) {
  using Block = void (*)(const int8_t*, size_t, int, const int8_t*, int32_t*, size_t);
  static constexpr Block kBlocks[kSdotRows] = {sdot_block<1>, sdot_block<2>, sdot_block<3>, sdot_block<4>, sdot_block<5>, sdot_block<6>};
  const size_t acc_stride = static_cast<size_t>(panel_count) * kPanel, panel_bytes = static_cast<size_t>(in) * kPanel;
  __builtin_memset(acc, 0, rows * acc_stride * sizeof *acc);
  for (int k = 0, depth; k < in; k += depth) {
    depth = rows <= kSdotRows ? in : next_depth(in - k);
    for (int n = 0; n < panel_count; ++n) {
      for (int m = 0, taken; m < rows; m += taken) {
        taken = share(rows - m, kSdotRows);
        kBlocks[taken - 1](a + m * a_stride + k, a_stride, depth, panels + n * panel_bytes + static_cast<size_t>(k) * kPanel,
                           acc + m * acc_stride + n * kPanel, acc_stride);
      }
    }
  }
}

}  // namespace
}  // namespace mipha::cpu
