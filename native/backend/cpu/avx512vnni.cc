// AVX-512 VNNI. VPDPBUSD multiplies unsigned by signed bytes, so quantize adds 128 to the activations and every sum starts at −128 · Σ w.
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_avx512.h"
#include "backend/cpu/float_kernels-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kGroup = 4 * kPanel;  // bytes of one panel for four values of depth: one register

/// Four values of depth in every lane.
inline __m512i broadcast4(const int8_t* a) {
  int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return _mm512_set1_epi32(four);
}

inline __m512i start(const int32_t* panel_sums) {
  return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(panel_sums), 7));
}

/// One row, one panel: reads the panel as one linear stream, which the processor fetches ahead by itself as fast as memory gives; being asked for
/// lines costs it a seventh of that. Four chains hide the latency of VPDPBUSD.
void row_panel(const int8_t* a, int in, const int8_t* panel, const int32_t* panel_sums, int32_t* acc) {
  __m512i sums[4] = {start(panel_sums), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int k = 0; k < in; k += 16, panel += 4 * kGroup) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sums[j] = _mm512_dpbusd_epi32(sums[j], broadcast4(a + k + 4 * j), _mm512_loadu_si512(panel + j * kGroup));
    }
  }
  _mm512_storeu_si512(acc, _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

constexpr int kPrefetch = 64 * 64;  // bytes ahead; with more rows the loads that the processor sees ahead are too few to keep memory busy
constexpr int kUnaided = 4;         // up to so many rows in one or two streams it does better by itself
constexpr int kRows = 6;            // 6 × 4 accumulators, 4 weights and one broadcast of 32 registers

/// acc [Rows][acc_stride] = a [Rows][in] times Panels panels. The sums stay in registers over the whole depth.
template <int Rows, int Panels>
void block(const int8_t* a, size_t a_stride, int in, const int8_t* panels, const int32_t* panel_sums, int32_t* acc, size_t acc_stride) {
  const size_t panel_bytes = static_cast<size_t>(in) * kPanel;
  __m512i sums[Rows][Panels];
#pragma GCC unroll 4
  for (int n = 0; n < Panels; ++n) {
    const __m512i first = start(panel_sums + n * kPanel);
#pragma GCC unroll 12
    for (int m = 0; m < Rows; ++m) sums[m][n] = first;
  }
  for (int k = 0; k < in; k += 4) {
    __m512i right[Panels];
#pragma GCC unroll 4
    for (int n = 0; n < Panels; ++n) {
      const int8_t* at = panels + n * panel_bytes + k * kPanel;
      if (Rows > kUnaided || Panels > 2) _mm_prefetch(at + kPrefetch, _MM_HINT_T1);
      right[n] = _mm512_loadu_si512(at);
    }
#pragma GCC unroll 12
    for (int m = 0; m < Rows; ++m) {
      const __m512i left = broadcast4(a + m * a_stride + k);
#pragma GCC unroll 4
      for (int n = 0; n < Panels; ++n) sums[m][n] = _mm512_dpbusd_epi32(sums[m][n], left, right[n]);
    }
  }
#pragma GCC unroll 12
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Panels; ++n) _mm512_storeu_si512(acc + m * acc_stride + n * kPanel, sums[m][n]);
  }
}

constexpr int kThinRows = 12;  // up to here memory sets the pace: the weights pass once for all rows

/// Two rows read one linear stream, as one does; more of them two, whose sums are enough to hide the latency of VPDPBUSD. Four streams were slower.
template <int Rows>
void thin(const int8_t* a, size_t a_stride, int in, const int8_t* panels, int panel_count, const int32_t* panel_sums, int32_t* acc) {
  constexpr int kStreams = Rows == 2 ? 1 : 2;
  const size_t panel_bytes = static_cast<size_t>(in) * kPanel, acc_stride = static_cast<size_t>(panel_count) * kPanel;
  int n = 0;
  for (; n + kStreams <= panel_count; n += kStreams) {
    block<Rows, kStreams>(a, a_stride, in, panels + n * panel_bytes, panel_sums + n * kPanel, acc + n * kPanel, acc_stride);
  }
  if (n < panel_count) block<Rows, 1>(a, a_stride, in, panels + n * panel_bytes, panel_sums + n * kPanel, acc + n * kPanel, acc_stride);
}

template <int Panels>
void rows_of(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, const int32_t* panel_sums, int32_t* acc) {
  using Block = void (*)(const int8_t*, size_t, int, const int8_t*, const int32_t*, int32_t*, size_t);
  static constexpr Block kBlocks[kRows] = {block<1, Panels>, block<2, Panels>, block<3, Panels>,
                                           block<4, Panels>, block<5, Panels>, block<6, Panels>};
  for (int m = 0; m < rows;) {
    const int taken = share(rows - m, kRows);
    kBlocks[taken - 1](a + m * a_stride, a_stride, in, panels, panel_sums, acc + static_cast<size_t>(m) * Panels * kPanel, Panels * kPanel);
    m += taken;
  }
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t* panel_sums, int32_t* acc) {
  if (rows == 1) {
    for (int n = 0; n < panel_count; ++n) {
      row_panel(a, in, panels + static_cast<size_t>(n) * in * kPanel, panel_sums + n * kPanel, acc + n * kPanel);
    }
    return;
  }
  if (rows <= kThinRows) {
    using Thin = void (*)(const int8_t*, size_t, int, const int8_t*, int, const int32_t*, int32_t*);
    static constexpr Thin kThin[] = {thin<2>, thin<3>, thin<4>, thin<5>, thin<6>, thin<7>, thin<8>, thin<9>, thin<10>, thin<11>, thin<12>};
    static_assert(sizeof kThin / sizeof *kThin == kThinRows - 1);
    return kThin[rows - 2](a, a_stride, in, panels, panel_count, panel_sums, acc);
  }
  using RowsOf = void (*)(const int8_t*, size_t, int, int, const int8_t*, const int32_t*, int32_t*);
  static constexpr RowsOf kRowsOf[kMaxPanels] = {rows_of<1>, rows_of<2>, rows_of<3>, rows_of<4>};
  kRowsOf[panel_count - 1](a, a_stride, rows, in, panels, panel_sums, acc);
}

}  // namespace

const Kernels kAvx512VnniKernels = {"avx512vnni",   128,         gemm_s8,    dequantize,   quantize<128>, layer_norm, rms_norm, gelu_tanh, gelu_erf,
                                    swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                                    transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
