// AVX-512 BF16. VDPBF16PS multiplies pairs and adds them into f32, twice as many products per instruction as an FMA has. It takes subnormal
// values for zero.
#include <immintrin.h>
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12's header makes don't-care registers out of themselves
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

constexpr int kVector = 16;  // floats, or pairs
constexpr int kRows = 6;     // 6 × 4 accumulators, 4 operands and one broadcast of 32 registers
constexpr int kVectors = 4;

inline int smaller(int a, int b) {
  return a < b ? a : b;
}

inline __mmask16 first(int n) {
  return static_cast<__mmask16>(n >= kVector ? 0xffff : n > 0 ? (1u << n) - 1 : 0);
}

/// Zeros where the mask has none.
inline __m512 load_half(const half_t* p, __mmask16 lanes) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p));
}

inline __m256i rounded(__m512 x) {
  return (__m256i)_mm512_cvtneps_pbh(x);
}

void round(const float* x, bfloat16_t* out, size_t count) {
  for (size_t i = 0; i < count; i += kVector) {
    const __mmask16 part = first(static_cast<int>(count - i));
    _mm256_mask_storeu_epi16(out + i, part, rounded(_mm512_maskz_loadu_ps(part, x + i)));
  }
}

void pair_values(const half_t* v, int head_size, int count, uint32_t* out, size_t out_stride) {
  for (int row = 0; row < count; row += 2, out += out_stride) {
    const half_t *const at = v + static_cast<size_t>(row) * head_size, *const second = at + head_size;
    for (int d = 0; d < head_size; d += kVector) {
      const __mmask16 values = first(head_size - d);
      const __m512i low = _mm512_cvtepu16_epi32(rounded(load_half(at + d, values)));
      const __m512i high = _mm512_cvtepu16_epi32(rounded(load_half(second + d, row + 1 < count ? values : 0)));
      _mm512_storeu_si512(out + d, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
  }
}

template <int Rows, int Vectors>
void block(const bfloat16_t* a, size_t a_stride, int pairs, const uint32_t* b, size_t b_stride, float* c, size_t c_stride, bool accumulate) {
  __m512 sums[Rows][Vectors];
#pragma GCC unroll 6
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) sums[m][n] = accumulate ? _mm512_loadu_ps(c + m * c_stride + n * kVector) : _mm512_setzero_ps();
  }
  for (int k = 0; k < pairs; ++k) {
    __m512bh right[Vectors];
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) right[n] = (__m512bh)_mm512_loadu_si512(b + k * b_stride + n * kVector);
#pragma GCC unroll 6
    for (int m = 0; m < Rows; ++m) {
      int pair;
      __builtin_memcpy(&pair, a + m * a_stride + 2 * k, sizeof pair);
      const __m512bh left = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int n = 0; n < Vectors; ++n) sums[m][n] = _mm512_dpbf16_ps(sums[m][n], left, right[n]);
    }
  }
#pragma GCC unroll 6
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) _mm512_storeu_ps(c + m * c_stride + n * kVector, sums[m][n]);
  }
}

/// How many of `left` to take at once: at most `most`, and the last two blocks alike rather than one full and one thin.
inline int share(int left, int most) {
  return left > most && left < 2 * most ? (left + 1) / 2 : smaller(left, most);
}

template <int Vectors>
void rows_of(const bfloat16_t* a, size_t a_stride, int rows, int pairs, const uint32_t* b, size_t b_stride, float* c, size_t c_stride,
             bool accumulate) {
  using Block = void (*)(const bfloat16_t*, size_t, int, const uint32_t*, size_t, float*, size_t, bool);
  static constexpr Block kBlocks[kRows] = {block<1, Vectors>, block<2, Vectors>, block<3, Vectors>,
                                           block<4, Vectors>, block<5, Vectors>, block<6, Vectors>};
  for (int m = 0; m < rows;) {
    const int taken = share(rows - m, kRows);
    kBlocks[taken - 1](a + m * a_stride, a_stride, pairs, b, b_stride, c + m * c_stride, c_stride, accumulate);
    m += taken;
  }
}

void gemm(const bfloat16_t* a, size_t a_stride, int rows, int pairs, const uint32_t* b, size_t b_stride, int columns, float* c, size_t c_stride,
          bool accumulate) {
  using RowsOf = void (*)(const bfloat16_t*, size_t, int, int, const uint32_t*, size_t, float*, size_t, bool);
  static constexpr RowsOf kRowsOf[kVectors] = {rows_of<1>, rows_of<2>, rows_of<3>, rows_of<4>};
  for (int n = 0; n < columns;) {
    const int vectors = share((columns - n) / kVector, kVectors);
    kRowsOf[vectors - 1](a, a_stride, rows, pairs, b + n, b_stride, c + n, c_stride, accumulate);
    n += vectors * kVector;
  }
}

}  // namespace

const Bf16Kernels kAvx512Bf16Kernels = {round, pair_values, gemm};

}  // namespace mipha::cpu
