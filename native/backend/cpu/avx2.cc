// AVX2 + FMA + F16C. VPMADDUBSW multiplies unsigned by signed bytes and saturates pair sums at 16 bits: |a| · sign(w, a) gives the product
// without a correction, and with both in [-127, 127] a pair is at most 2 · 127² = 32258 < 32767, so nothing saturates.
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_avx2.h"
#include "backend/cpu/float_kernels-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kGroup = 4 * kPanel;  // bytes of one panel for four values of depth: two registers
constexpr int kRows = 4;            // 4 × 2 accumulators, 2 weights, a, |a|, ones and two temporaries of 16 registers

inline __m256i broadcast4(const int8_t* a) {
  int32_t four;
  __builtin_memcpy(&four, a, sizeof four);
  return _mm256_set1_epi32(four);
}

inline __m256i load_weights(const int8_t* panel) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel));
}

/// sums + Σ of four products per lane.
inline __m256i dot4(__m256i sums, __m256i a, __m256i magnitude, __m256i weights) {
  const __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(weights, a));
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// acc [Rows][acc_stride] = a [Rows][in] times one panel, read as one linear stream.
template <int Rows>
void block(const int8_t* a, size_t a_stride, int in, const int8_t* panel, int32_t* acc, size_t acc_stride) {
  __m256i sums[Rows][2];
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) sums[m][0] = sums[m][1] = _mm256_setzero_si256();
  for (int k = 0; k < in; k += 4, panel += kGroup) {
    const __m256i low = load_weights(panel), high = load_weights(panel + kGroup / 2);
#pragma GCC unroll 4
    for (int m = 0; m < Rows; ++m) {
      const __m256i left = broadcast4(a + m * a_stride + k), magnitude = _mm256_abs_epi8(left);
      sums[m][0] = dot4(sums[m][0], left, magnitude, low);
      sums[m][1] = dot4(sums[m][1], left, magnitude, high);
    }
  }
#pragma GCC unroll 4
  for (int m = 0; m < Rows; ++m) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + m * acc_stride), sums[m][0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(acc + m * acc_stride + kPanel / 2), sums[m][1]);
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

const Kernels kAvx2Kernels = {"avx2",         0,           gemm_s8,    dequantize,   quantize<0>,   layer_norm, rms_norm, gelu_tanh, gelu_erf,
                              swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                              transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
