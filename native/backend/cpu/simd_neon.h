// The vector wrapper of float_kernels-inl.h on AArch64 NEON: 4 floats. Included by dotprod.cc and i8mm.cc.
#pragma once

#include <arm_neon.h>

#include "backend/cpu/kernels.h"

namespace mipha::cpu {
namespace {

using Vec = float32x4_t;
constexpr int kLanes = 4;
constexpr int kGemmRows = 6;  // 6 × 4 accumulators, 4 operands and one broadcast of 32 registers
constexpr int kGemmVectors = 4;

inline Vec set1(float x) {
  return vdupq_n_f32(x);
}
inline Vec load(const float* p) {
  return vld1q_f32(p);
}
inline void store(float* p, Vec v) {
  vst1q_f32(p, v);
}
inline Vec load_part(const float* p, int n, Vec rest) {
  float whole[kLanes];
  store(whole, rest);
  for (int i = 0; i < n; ++i) whole[i] = p[i];
  return load(whole);
}
inline void store_part(float* p, Vec v, int n) {
  float whole[kLanes];
  store(whole, v);
  for (int i = 0; i < n; ++i) p[i] = whole[i];
}

inline Vec add(Vec a, Vec b) {
  return vaddq_f32(a, b);
}
inline Vec sub(Vec a, Vec b) {
  return vsubq_f32(a, b);
}
inline Vec mul(Vec a, Vec b) {
  return vmulq_f32(a, b);
}
inline Vec div(Vec a, Vec b) {
  return vdivq_f32(a, b);
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return vfmaq_f32(c, a, b);
}
inline Vec maximum(Vec a, Vec b) {
  return vmaxnmq_f32(a, b);
}  // b where a is NaN
inline Vec minimum(Vec a, Vec b) {
  return vminnmq_f32(a, b);
}
inline Vec absolute(Vec a) {
  return vabsq_f32(a);
}
inline Vec round_even(Vec a) {
  return vrndnq_f32(a);
}
inline Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return vbslq_f32(vcltq_f32(a, b), yes, no);
}
/// n whole, in [-126, 127].
inline Vec times_power_of_two(Vec a, Vec n) {
  const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
  return vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
}

inline float sum(Vec v) {
  return vaddvq_f32(v);
}
inline float largest(Vec v) {
  return vmaxvq_f32(v);
}

inline Vec from_int(const int32_t* p) {
  return vcvtq_f32_s32(vld1q_s32(p));
}
inline Vec from_int_part(const int32_t* p, int n) {
  int32_t whole[kLanes] = {};
  for (int i = 0; i < n; ++i) whole[i] = p[i];
  return from_int(whole);
}
inline void store_s8(int8_t* p, Vec v) {
  const int16x4_t pairs = vqmovn_s32(vcvtnq_s32_f32(v));
  int8_t whole[8];
  vst1_s8(whole, vqmovn_s16(vcombine_s16(pairs, pairs)));
  __builtin_memcpy(p, whole, kLanes);
}

inline Vec load_half(const half_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
inline void store_half(half_t* p, Vec v) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
inline Vec load_half_part(const half_t* p, int n) {
  half_t whole[kLanes] = {};
  for (int i = 0; i < n; ++i) whole[i] = p[i];
  return load_half(whole);
}
inline void store_half_part(half_t* p, Vec v, int n) {
  half_t whole[kLanes];
  store_half(whole, v);
  for (int i = 0; i < n; ++i) p[i] = whole[i];
}

constexpr int kTile = 4;

/// out[r * out_stride + c] = x[c * x_stride + r] for r, c < kTile.
inline void transpose_tile(const half_t* x, size_t x_stride, float* out, size_t out_stride) {
  const float32x4x2_t low = vtrnq_f32(load_half(x), load_half(x + x_stride));
  const float32x4x2_t high = vtrnq_f32(load_half(x + 2 * x_stride), load_half(x + 3 * x_stride));
  store(out, vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0])));
  store(out + out_stride, vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1])));
  store(out + 2 * out_stride, vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0])));
  store(out + 3 * out_stride, vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1])));
}

}  // namespace
}  // namespace mipha::cpu
