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

float round(const float* x, bfloat16_t* out, size_t count) {
  __m256 squares = _mm256_setzero_ps();
  for (size_t i = 0; i < count; i += kVector) {
    const __mmask16 part = first(static_cast<int>(count - i));
    const __m256i values = rounded(_mm512_maskz_loadu_ps(part, x + i));
    _mm256_mask_storeu_epi16(out + i, part, values);
    squares = _mm256_dpbf16_ps(squares, (__m256bh)values, (__m256bh)values);
  }
  return _mm512_reduce_add_ps(_mm512_zextps256_ps512(squares));
}

/// 16 × 16 of 32 bits, in place: rows become columns.
inline void transpose(__m512i (&row)[16]) {
  __m512i half[16];
  for (int i = 0; i < 16; i += 2) {
    half[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
    half[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {  // row[i + j]: column 4 · lane + j of source rows i … i + 3
    row[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    row[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    row[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    row[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  for (int j = 0; j < 4; ++j) {  // lanes 0 and 2, then 1 and 3, of two groups of rows
    half[j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0x88);
    half[4 + j] = _mm512_shuffle_i32x4(row[j], row[4 + j], 0xdd);
    half[8 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0x88);
    half[12 + j] = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0xdd);
  }
  for (int j = 0; j < 4; ++j) {
    row[j] = _mm512_shuffle_i32x4(half[j], half[8 + j], 0x88);
    row[8 + j] = _mm512_shuffle_i32x4(half[j], half[8 + j], 0xdd);
    row[4 + j] = _mm512_shuffle_i32x4(half[4 + j], half[12 + j], 0x88);
    row[12 + j] = _mm512_shuffle_i32x4(half[4 + j], half[12 + j], 0xdd);
  }
}

void pair_keys(const half_t* k, int head_size, int count, uint32_t* out, size_t out_stride, float* squares) {
  for (int key = 0; key < count; key += kVector) {
    __m512 sums = _mm512_setzero_ps();
    for (int d = 0; d < head_size; d += 2 * kVector) {
      const int values = smaller(head_size - d, 2 * kVector), keys = smaller(count - key, kVector);
      const __mmask16 low_lanes = first(values), high_lanes = first(values - kVector);
      __m512i row[16];
      for (int i = 0; i < 16; ++i) {
        if (i >= keys) {
          row[i] = _mm512_setzero_si512();
          continue;
        }
        const half_t* const at = k + static_cast<size_t>(key + i) * head_size + d;
        row[i] = (__m512i)_mm512_cvtne2ps_pbh(load_half(at + kVector, high_lanes), load_half(at, low_lanes));
      }
      transpose(row);
      for (int pair = 0; pair < (values + 1) / 2; ++pair) {
        _mm512_storeu_si512(out + (d / 2 + pair) * out_stride + key, row[pair]);
        sums = _mm512_dpbf16_ps(sums, (__m512bh)row[pair], (__m512bh)row[pair]);
      }
    }
    _mm512_storeu_ps(squares + key, sums);
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

const Bf16Kernels kAvx512Bf16Kernels = {round, pair_keys, pair_values, gemm};

}  // namespace mipha::cpu
