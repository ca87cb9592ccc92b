// AVX-512 VNNI. VPDPBUSD multiplies unsigned by signed bytes, so activations get 128 added (xor 0x80) and every sum starts at −128 · Σ w.
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_avx512.h"
#include "backend/cpu/float_kernels-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kGroup = 4 * kPanel;  // bytes of one panel for four values of depth: one register

inline __m512i broadcast4(const int8_t* a) {
  int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return _mm512_set1_epi32(four);
}

inline __m512i start(const int32_t* panel_sums) {
  return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(_mm512_loadu_si512(panel_sums), 7));
}

/// One row, one panel: reads the panel as one linear stream. Four chains hide the latency of VPDPBUSD.
void row_panel(const int8_t* a, int in, const int8_t* panel, const int32_t* panel_sums, int32_t* acc) {
  const __m512i flip = _mm512_set1_epi8(-128);
  __m512i sums[4] = {start(panel_sums), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  for (int k = 0; k < in; k += 16, panel += 4 * kGroup) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512i left = _mm512_xor_si512(broadcast4(a + k + 4 * j), flip);
      sums[j] = _mm512_dpbusd_epi32(sums[j], left, _mm512_loadu_si512(panel + j * kGroup));
    }
  }
  _mm512_storeu_si512(acc, _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3])));
}

constexpr int kChunk = 2048;        // values of depth whose activations are made unsigned at once: 16 KiB for eight rows, half of the first cache
constexpr int kPrefetch = 64 * 64;  // bytes ahead; when the weights come from memory, eight rows then cost about the same as four

/// acc [Rows][acc_stride] += a [Rows][kChunk], already unsigned, times `depth` values of Panels panels that lie panel_bytes apart.

template <int Rows, int Panels>
void block(const int8_t* a, int depth, const int8_t* panels, size_t panel_bytes, int32_t* acc, size_t acc_stride) {
  __m512i sums[Rows][Panels];
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Panels; ++n) sums[m][n] = _mm512_loadu_si512(acc + m * acc_stride + n * kPanel);
  }
  for (int k = 0; k < depth; k += 4) {
    __m512i right[Panels];
#pragma GCC unroll 4
    for (int n = 0; n < Panels; ++n) {
      const int8_t* at = panels + n * panel_bytes + k * kPanel;
      _mm_prefetch(at + kPrefetch, _MM_HINT_T1);
      right[n] = _mm512_loadu_si512(at);
    }
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
      const __m512i left = broadcast4(a + m * kChunk + k);
#pragma GCC unroll 4
      for (int n = 0; n < Panels; ++n) sums[m][n] = _mm512_dpbusd_epi32(sums[m][n], left, right[n]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Panels; ++n) _mm512_storeu_si512(acc + m * acc_stride + n * kPanel, sums[m][n]);
  }
}

template <int Rows>
void chunk(const int8_t* a, int depth, const int8_t* panels, size_t panel_bytes, int panel_count, int32_t* acc) {
  const size_t acc_stride = static_cast<size_t>(panel_count) * kPanel;
  int n = 0;
  for (; n + 2 <= panel_count; n += 2) block<Rows, 2>(a, depth, panels + n * panel_bytes, panel_bytes, acc + n * kPanel, acc_stride);
  if (n < panel_count) block<Rows, 1>(a, depth, panels + n * panel_bytes, panel_bytes, acc + n * kPanel, acc_stride);
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t* panel_sums, int32_t* acc) {
  const size_t panel_bytes = static_cast<size_t>(in) * kPanel;
  if (rows == 1) {
    for (int n = 0; n < panel_count; ++n) row_panel(a, in, panels + n * panel_bytes, panel_sums + n * kPanel, acc + n * kPanel);
    return;
  }
  for (int m = 0; m < rows; ++m) {
    for (int n = 0; n < panel_count; ++n) _mm512_storeu_si512(acc + (m * panel_count + n) * kPanel, start(panel_sums + n * kPanel));
  }
  using Chunk = void (*)(const int8_t*, int, const int8_t*, size_t, int, int32_t*);
  static constexpr Chunk kChunks[] = {chunk<2>, chunk<3>, chunk<4>, chunk<5>, chunk<6>, chunk<7>, chunk<8>};
  // Making the activations unsigned once here, not once per panel, leaves the ports that VPDPBUSD needs free of xors.
  alignas(64) int8_t unsigned_a[kMaxRows * kChunk];
  const __m512i flip = _mm512_set1_epi8(-128);
  for (int first_k = 0; first_k < in; first_k += kChunk) {
    const int depth = smaller(in - first_k, kChunk);
    for (int m = 0; m < rows; ++m) {
      for (int k = 0; k < depth; k += 64) {
        _mm512_store_si512(unsigned_a + m * kChunk + k, _mm512_xor_si512(_mm512_loadu_si512(a + m * a_stride + first_k + k), flip));
      }
    }
    kChunks[rows - 2](unsigned_a, depth, panels + static_cast<size_t>(first_k) * kPanel, panel_bytes, panel_count, acc);
  }
}

}  // namespace

const Kernels kAvx512VnniKernels = {"avx512vnni",   gemm_s8,  dequantize,   quantize, layer_norm,    rms_norm, gelu_tanh, gelu_erf,
                                    swish,          add,      multiply,     gemm_f32, softmax_block, scale,    to_half,   from_half,
                                    transpose_half, dot_half, weighted_half};

}  // namespace mipha::cpu
