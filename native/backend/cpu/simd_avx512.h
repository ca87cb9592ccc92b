// The vector wrapper of float_kernels-inl.h on AVX-512: 16 floats. Included by avx512vnni.cc only.
#pragma once

// GCC 12's header makes an undefined vector by initialising it with itself, and then warns about that (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "backend/cpu/transpose_x86-inl.h"

namespace mipha::cpu {
namespace {

using Vec = __m512;
constexpr int kLanes = 16;
constexpr int kGemmRows = 8;  // 8 × 3 accumulators, 3 operands and one broadcast of 32 registers
constexpr int kGemmVectors = 3;

inline __mmask16 first(int n) {
  return static_cast<__mmask16>((1u << n) - 1);
}

inline Vec set1(float x) {
  return _mm512_set1_ps(x);
}
inline Vec load(const float* p) {
  return _mm512_loadu_ps(p);
}
inline void store(float* p, Vec v) {
  _mm512_storeu_ps(p, v);
}
inline Vec load_part(const float* p, int n, Vec rest) {
  return _mm512_mask_loadu_ps(rest, first(n), p);
}
inline void store_part(float* p, Vec v, int n) {
  _mm512_mask_storeu_ps(p, first(n), v);
}

inline Vec add(Vec a, Vec b) {
  return _mm512_add_ps(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return _mm512_sub_ps(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return _mm512_mul_ps(a, b);
}
inline Vec div(Vec a, Vec b) {
  return _mm512_div_ps(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline Vec maximum(Vec a, Vec b) {
  return _mm512_max_ps(a, b);
}  // b where a is NaN
inline Vec minimum(Vec a, Vec b) {
  return _mm512_min_ps(a, b);
}
inline Vec absolute(Vec a) {
  return _mm512_abs_ps(a);
}
inline Vec round_even(Vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
inline Vec times_power_of_two(Vec a, Vec n) {
  return _mm512_scalef_ps(a, n);
}

inline float sum(Vec v) {
  return _mm512_reduce_add_ps(v);
}
inline float largest(Vec v) {
  return _mm512_reduce_max_ps(v);
}

inline Vec from_int(const int32_t* p) {
  return _mm512_cvtepi32_ps(_mm512_loadu_si512(p));
}
inline Vec from_int_part(const int32_t* p, int n) {
  return _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(first(n), p));
}
inline void store_s8(int8_t* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(v)));
}

inline Vec load_half(const half_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec load_half_part(const half_t* p, int n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), p));
}
inline void store_half(half_t* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_half_part(half_t* p, Vec v, int n) {
  _mm256_mask_storeu_epi16(p, first(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

}  // namespace
}  // namespace mipha::cpu
