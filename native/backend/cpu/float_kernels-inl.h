// The float kernels of every vector instruction set, written once over the wrapper of simd_*.h, which the including file picks. All of it
// lives in an unnamed namespace: each instruction set gets its own copy and the linker never merges two of them.
#pragma once

#include "backend/cpu/kernels.h"

namespace mipha::cpu {
namespace {

inline int smaller(int a, int b) {
  return a < b ? a : b;
}

// exp(x) = 2^n · e^r with n = round(x / ln 2), |r| ≤ ln 2 / 2. e^r is the degree-6 Chebyshev interpolant of exp on that interval, own
// derivation: truncation error 2.5e-9, a twentieth of a float's half ulp. Arguments are in [kExpLow, kExpHigh].
constexpr float kExpLow = -87.33f, kExpHigh = 88.37f;

inline Vec exp(Vec x) {
  const Vec n = round_even(mul(x, set1(1.44269504f)));
  Vec r = fma(n, set1(-0.693359375f), x);  // ln 2 in two parts; the first has so few bits that its product is exact
  r = fma(n, set1(2.12194440e-4f), r);
  Vec y = set1(1.39411084e-3f);
  y = fma(y, r, set1(8.37512640e-3f));
  y = fma(y, r, set1(4.16663529e-2f));
  y = fma(y, r, set1(1.66664155e-1f));
  y = fma(y, r, set1(5.00000005e-1f));
  y = fma(y, r, set1(1.00000004f));
  y = fma(y, r, set1(1.0f));
  return times_power_of_two(y, n);
}

inline Vec clamp(Vec x) {
  return minimum(maximum(x, set1(kExpLow)), set1(kExpHigh));
}

/// 0.5 x (1 + tanh u) = x / (1 + exp(−2u)), u = √(2/π) (x + 0.044715 x³).
inline Vec gelu_tanh_of(Vec x) {
  const Vec twice_u = mul(x, fma(mul(x, x), set1(2 * 0.0356774081f), set1(2 * 0.797884561f)));
  return div(x, add(set1(1.0f), exp(clamp(sub(set1(0.0f), twice_u)))));
}

/// x Φ(x), with the tail Q(z) = ½ erfc(z / √2) of z = |x| taken as exp(−z² / 2) · g(t), t = 1 / (1 + 0.3 z). g is the degree-8 Chebyshev
/// interpolant in t over z ∈ [0, 13], own derivation: error of Q at most 1.7e-8. Beyond z = 13 Q is below 1e-38 and taken as 0.
inline Vec gelu_erf_of(Vec x) {
  const Vec z = absolute(x);
  const Vec t = div(set1(1.0f), fma(z, set1(0.3f), set1(1.0f)));
  Vec g = set1(0.0371611011f);
  g = fma(g, t, set1(-0.163479222f));
  g = fma(g, t, set1(0.217419281f));
  g = fma(g, t, set1(-0.064265355f));
  g = fma(g, t, set1(0.134526288f));
  g = fma(g, t, set1(0.0978989566f));
  g = fma(g, t, set1(0.121148496f));
  g = fma(g, t, set1(0.119588842f));
  g = fma(g, t, set1(1.6288466e-6f));
  const Vec q = mul(g, exp(clamp(mul(mul(z, z), set1(-0.5f)))));
  const Vec tail = mul(x, select_less(set1(13.0f), z, set1(0.0f), q));
  return select_less(x, set1(0.0f), tail, sub(x, tail));
}

/// out[i] = f(x[i]) for whole vectors and one partial one; out may be x.
template <typename F>
inline void map(const float* x, float* out, size_t count, F f) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, f(load(x + i)));
  if (const int rest = static_cast<int>(count - i)) store_part(out + i, f(load_part(x + i, rest, set1(0.0f))), rest);
}

/// Σ f(x[i]); lanes beyond the end see `filler`, which f must map to 0.
template <typename F>
inline float total(const float* x, int count, float filler, F f) {
  Vec sums[4] = {set1(0.0f), set1(0.0f), set1(0.0f), set1(0.0f)};
  int i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) sums[j] = add(sums[j], f(load(x + i + j * kLanes)));
  }
  for (; i + kLanes <= count; i += kLanes) sums[0] = add(sums[0], f(load(x + i)));
  if (i < count) sums[1] = add(sums[1], f(load_part(x + i, count - i, set1(filler))));
  return sum(add(add(sums[0], sums[1]), add(sums[2], sums[3])));
}

void dequantize(const int32_t* acc, float a_scale, const float* w_scale, const float* bias, int count, float* out, bool accumulate) {
  const Vec scale = set1(a_scale), zero = set1(0.0f);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Vec y = fma(from_int(acc + i), mul(scale, load(w_scale + i)), bias ? load(bias + i) : zero);
    store(out + i, accumulate ? add(load(out + i), y) : y);
  }
  if (const int rest = count - i) {
    const Vec offset = bias ? load_part(bias + i, rest, zero) : zero;
    const Vec y = fma(from_int_part(acc + i, rest), mul(scale, load_part(w_scale + i, rest, zero)), offset);
    store_part(out + i, accumulate ? add(load_part(out + i, rest, zero), y) : y, rest);
  }
}

/// Offset: 0, or 128 = the table's activation_offset.
template <int Offset>
float quantize(const float* x, int count, int padded, int8_t* q) {
  static_assert(Offset == 0 || Offset == 128);
  Vec most = set1(0.0f);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) most = maximum(absolute(load(x + i)), most);
  if (i < count) most = maximum(absolute(load_part(x + i, count - i, set1(0.0f))), most);
  const float magnitude = largest(most);
  if (magnitude < kSmallestMagnitude) {
    __builtin_memset(q, Offset, padded);
    return 0.0f;
  }
  const Vec inverse = set1(127.0f / magnitude), low = set1(-127.0f), high = set1(127.0f);
  for (i = 0; i + kLanes <= count; i += kLanes) store_s8(q + i, minimum(maximum(mul(load(x + i), inverse), low), high));
  if (i < count) {
    store_s8(q + i, minimum(maximum(mul(load_part(x + i, count - i, set1(0.0f)), inverse), low), high));
    i += kLanes;
  }
  if (i < padded) __builtin_memset(q + i, 0, padded - i);
  if constexpr (Offset == 128) {
    for (i = 0; i < padded; ++i) q[i] ^= -128;  // the same bits as + 128
  }
  return magnitude / 127.0f;
}

void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, int count, float* out) {
  const float mean = total(x, count, 0.0f, [](Vec v) { return v; }) / static_cast<float>(count);
  const Vec means = set1(mean), zero = set1(0.0f);
  const float squares = total(x, count, mean, [means](Vec v) { return mul(sub(v, means), sub(v, means)); });
  const Vec inverse = set1(1.0f / __builtin_sqrtf(squares / static_cast<float>(count) + epsilon));
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, fma(mul(sub(load(x + i), means), inverse), load(gain + i), load(bias + i)));
  if (const int rest = count - i) {
    const Vec normal = mul(sub(load_part(x + i, rest, zero), means), inverse);
    store_part(out + i, fma(normal, load_part(gain + i, rest, zero), load_part(bias + i, rest, zero)), rest);
  }
}

void rms_norm(const float* x, const float* gain, float epsilon, int count, float* out) {
  const float squares = total(x, count, 0.0f, [](Vec v) { return mul(v, v); });
  const Vec inverse = set1(1.0f / __builtin_sqrtf(squares / static_cast<float>(count) + epsilon)), zero = set1(0.0f);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, mul(mul(load(x + i), inverse), load(gain + i)));
  if (const int rest = count - i) store_part(out + i, mul(mul(load_part(x + i, rest, zero), inverse), load_part(gain + i, rest, zero)), rest);
}

void gelu_tanh(float* x, size_t count) {
  map(x, x, count, [](Vec v) { return gelu_tanh_of(v); });
}
void gelu_erf(float* x, size_t count) {
  map(x, x, count, [](Vec v) { return gelu_erf_of(v); });
}

void swish(float* x, float beta, size_t count) {
  const Vec factor = set1(-beta), one = set1(1.0f);
  map(x, x, count, [factor, one](Vec v) { return div(v, add(one, exp(clamp(mul(v, factor))))); });
}

void add(float* x, const float* y, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, add(load(x + i), load(y + i)));
  for (; i < count; ++i) x[i] += y[i];
}

void multiply(float* x, const float* y, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, mul(load(x + i), load(y + i)));
  for (; i < count; ++i) x[i] *= y[i];
}

void scale(const float* x, float factor, float* out, size_t count) {
  const Vec factors = set1(factor);
  map(x, out, count, [factors](Vec v) { return mul(v, factors); });
}

/// Rows × Vectors * kLanes of c stay in registers over the whole depth.
template <int Rows, int Vectors>
void gemm_f32_block(const float* a, size_t a_stride, int depth, const float* b, size_t b_stride, float* c, size_t c_stride, bool accumulate) {
  Vec sums[Rows][Vectors];
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) sums[m][n] = accumulate ? load(c + m * c_stride + n * kLanes) : set1(0.0f);
  }
  for (int k = 0; k < depth; ++k) {
    Vec right[Vectors];
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) right[n] = load(b + k * b_stride + n * kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < Rows; ++m) {
      const Vec left = set1(a[m * a_stride + k]);
#pragma GCC unroll 4
      for (int n = 0; n < Vectors; ++n) sums[m][n] = fma(left, right[n], sums[m][n]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < Rows; ++m) {
#pragma GCC unroll 4
    for (int n = 0; n < Vectors; ++n) store(c + m * c_stride + n * kLanes, sums[m][n]);
  }
}

using GemmF32Block = void (*)(const float* a, size_t a_stride, int depth, const float* b, size_t b_stride, float* c, size_t c_stride,
                              bool accumulate);

template <int Vectors, int Rows = kGemmRows>
inline GemmF32Block gemm_f32_rows(int rows) {
  if constexpr (Rows > 1) {
    if (rows < Rows) return gemm_f32_rows<Vectors, Rows - 1>(rows);
  }
  return gemm_f32_block<Rows, Vectors>;
}

template <int Vectors = kGemmVectors>
inline GemmF32Block gemm_f32_vectors(int vectors, int rows) {
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) return gemm_f32_vectors<Vectors - 1>(vectors, rows);
  }
  return gemm_f32_rows<Vectors>(rows);
}

/// How many of `left` to take at once: at most `most`, and the last two blocks alike rather than one full and one thin.
inline int share(int left, int most) {
  return left > most && left < 2 * most ? (left + 1) / 2 : smaller(left, most);
}

void gemm_f32(const float* a, size_t a_stride, int rows, int depth, const float* b, size_t b_stride, int columns, float* c, size_t c_stride,
              bool accumulate) {
  for (int n = 0; n < columns;) {
    const int vectors = share((columns - n) / kLanes, kGemmVectors);
    for (int m = 0; m < rows;) {
      const int taken = share(rows - m, kGemmRows);
      gemm_f32_vectors(vectors, taken)(a + m * a_stride, a_stride, depth, b + n, b_stride, c + m * c_stride + n, c_stride, accumulate);
      m += taken;
    }
    n += vectors * kLanes;
  }
}

float softmax_block(float* x, int count, float* running_max) {
  Vec most = set1(*running_max);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) most = maximum(load(x + i), most);
  if (i < count) most = maximum(load_part(x + i, count - i, most), most);
  *running_max = largest(most);
  const Vec maxima = set1(*running_max);
  Vec sums = set1(0.0f);
  for (i = 0; i + kLanes <= count; i += kLanes) {
    const Vec y = exp(maximum(sub(load(x + i), maxima), set1(kExpLow)));
    store(x + i, y);
    sums = add(sums, y);
  }
  if (const int rest = count - i) {
    const Vec y = exp(maximum(sub(load_part(x + i, rest, set1(-__builtin_inff())), maxima), set1(kExpLow)));
    store_part(x + i, y, rest);
    sums = add(sums, y);
  }
  return sum(sums);
}

/// Products are rounded before they are added, as the scalar twin does.
void rotate(float* x, const float* cosine, const float* sine, int half) {
  int j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const Vec a = load(x + j), b = load(x + j + half), c = load(cosine + j), s = load(sine + j);
    store(x + j, sub(mul(a, c), mul(b, s)));
    store(x + j + half, add(mul(b, c), mul(a, s)));
  }
  if (const int rest = half - j) {
    const Vec zero = set1(0.0f), a = load_part(x + j, rest, zero), b = load_part(x + j + half, rest, zero), c = load_part(cosine + j, rest, zero),
              s = load_part(sine + j, rest, zero);
    store_part(x + j, sub(mul(a, c), mul(b, s)), rest);
    store_part(x + j + half, add(mul(b, c), mul(a, s)), rest);
  }
}

void to_half(const float* x, half_t* out, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store_half(out + i, load(x + i));
  if (const int rest = static_cast<int>(count - i)) store_half_part(out + i, load_part(x + i, rest, set1(0.0f)), rest);
}

void from_half(const half_t* x, float* out, size_t count) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, load_half(x + i));
  if (const int rest = static_cast<int>(count - i)) store_part(out + i, load_half_part(x + i, rest), rest);
}

/// The part of a transpose that fills no tile.
inline void transpose_edge(const half_t* x, size_t x_stride, int rows, int columns, float* out, size_t out_stride) {
  for (int c = 0; c < columns; ++c) {
    for (int r = 0; r < rows; r += kLanes) {
      const int count = smaller(rows - r, kLanes);
      float values[kLanes];
      store(values, load_half_part(x + c * x_stride + r, count));
      for (int i = 0; i < count; ++i) out[(r + i) * out_stride + c] = values[i];
    }
  }
}

void transpose_half(const half_t* x, size_t x_stride, int rows, int columns, float* out, size_t out_stride) {
  const int whole_rows = rows - rows % kTile, whole_columns = columns - columns % kTile;
  for (int c = 0; c < whole_columns; c += kTile) {
    for (int r = 0; r < whole_rows; r += kTile) transpose_tile(x + c * x_stride + r, x_stride, out + r * out_stride + c, out_stride);
  }
  transpose_edge(x + whole_rows, x_stride, rows - whole_rows, whole_columns, out + whole_rows * out_stride, out_stride);
  transpose_edge(x + whole_columns * x_stride, x_stride, rows, columns - whole_columns, out + whole_columns, out_stride);
}

inline Vec load_as_float(const half_t* p) {
  return load_half(p);
}
inline Vec load_as_float(const float* p) {
  return load(p);
}
inline Vec load_as_float_part(const half_t* p, int n) {
  return load_half_part(p, n);
}
inline Vec load_as_float_part(const float* p, int n) {
  return load_part(p, n, set1(0.0f));
}

/// Keys dot products side by side: each load of q serves all, and the chains of additions overlap.
template <int Keys, typename T>
inline void dot_keys(const float* q, const T* k, size_t k_stride, int head_size, float* scores) {
  Vec sums[Keys];
#pragma GCC unroll 4
  for (int i = 0; i < Keys; ++i) sums[i] = set1(0.0f);
  int d = 0;
  for (; d + kLanes <= head_size; d += kLanes) {
    const Vec left = load(q + d);
#pragma GCC unroll 4
    for (int i = 0; i < Keys; ++i) sums[i] = fma(left, load_as_float(k + i * k_stride + d), sums[i]);
  }
  if (const int rest = head_size - d) {
    const Vec left = load_part(q + d, rest, set1(0.0f));
#pragma GCC unroll 4
    for (int i = 0; i < Keys; ++i) sums[i] = fma(left, load_as_float_part(k + i * k_stride + d, rest), sums[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < Keys; ++i) scores[i] = sum(sums[i]);
}

template <typename T>
void dot(const float* q, const T* k, size_t k_stride, int count, int head_size, float* scores) {
  int i = 0;
  for (; i + 4 <= count; i += 4) dot_keys<4>(q, k + i * k_stride, k_stride, head_size, scores + i);
  for (; i < count; ++i) dot_keys<1>(q, k + i * k_stride, k_stride, head_size, scores + i);
}

/// Vectors * kLanes of the sum stay in registers over all rows.
template <int Vectors>
void weighted_block(const float* p, const half_t* v, size_t v_stride, int count, float* out) {
  Vec sums[Vectors];
#pragma GCC unroll 8
  for (int j = 0; j < Vectors; ++j) sums[j] = load(out + j * kLanes);
  for (int i = 0; i < count; ++i) {
    const Vec weight = set1(p[i]);
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) sums[j] = fma(weight, load_half(v + i * v_stride + j * kLanes), sums[j]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < Vectors; ++j) store(out + j * kLanes, sums[j]);
}

template <int Vectors = 8>
inline void weighted_vectors(int vectors, const float* p, const half_t* v, size_t v_stride, int count, float* out) {
  if constexpr (Vectors > 1) {
    if (vectors < Vectors) return weighted_vectors<Vectors - 1>(vectors, p, v, v_stride, count, out);
  }
  weighted_block<Vectors>(p, v, v_stride, count, out);
}

void weighted_half(const float* p, const half_t* v, size_t v_stride, int count, int head_size, float* out) {
  int d = 0;
  while (head_size - d >= kLanes) {
    const int vectors = share((head_size - d) / kLanes, 8);
    weighted_vectors(vectors, p, v + d, v_stride, count, out + d);
    d += vectors * kLanes;
  }
  if (const int rest = head_size - d) {
    Vec sums = load_part(out + d, rest, set1(0.0f));
    for (int i = 0; i < count; ++i) sums = fma(set1(p[i]), load_half_part(v + i * v_stride + d, rest), sums);
    store_part(out + d, sums, rest);
  }
}

}  // namespace
}  // namespace mipha::cpu
