// The table of CPU kernels: one row per instruction set, each with the same functions; `scalar` is the readable twin of all others.
// Raw pointers only: ISA files contain no STL, no global initialisers and are compiled without LTO, so that no wide instruction can leak
// into code that runs before the CPU was asked what it can do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mipha::cpu {

// INT8 weights are packed once for every instruction set: [out / 16][in / 4][16][4] int8, `out` padded to 16 and `in` to 64 with zeros.
// That is the operand order of VPDPBUSD (64 bytes = 16 rows × 4 values), SDOT by lane (4 × 16 bytes) and an AMX B tile.
// Values are in [-127, 127]; −128 never occurs (the packer refuses it), which keeps AVX2's 16-bit pair sums exact.
constexpr int kPanel = 16;      // output rows per panel
constexpr int kDepthStep = 64;  // `in` is padded to a multiple of this
constexpr int kMaxRows = 48;    // activation rows per gemm_s8 call, which divides them as its registers like them
constexpr int kMaxPanels = 4;   // panels per gemm_s8 call

// Rows of activations with no magnitude from here up count as zero: below it 127 / max|x| would overflow.
constexpr float kSmallestMagnitude = 0x1p-120f;

// f16 cache rows are stored as raw IEEE half bits.
using half_t = uint16_t;
// The upper half of a float's bits.
using bfloat16_t = uint16_t;

/// Attention's product of weights and values in BF16, where the CPU has it: pairs of values multiplied and added into f32. Rounding is to the
/// nearest, ties to even; subnormal values may count as zero.
struct Bf16Kernels {
  void (*round)(const float* x, bfloat16_t* out, size_t count);

  /// Values v [count][head_size] → out [(count + 1) / 2][out_stride]: the values of each pair of rows, the first in the low half. head_size is filled
  /// up to a multiple of 16 with zeros, an odd count with a row of them.
  void (*pair_values)(const half_t* v, int head_size, int count, uint32_t* out, size_t out_stride);

  /// c[m][n] = Σ over pairs of a[m] · b[..][n] (+ c when accumulate): a [rows][2 * pairs], a_stride even; b [pairs][columns], columns a multiple
  /// of 16.
  void (*gemm)(const bfloat16_t* a, size_t a_stride, int rows, int pairs, const uint32_t* b, size_t b_stride, int columns, float* c, size_t c_stride,
               bool accumulate);
};

struct Kernels {
  const char* name;  // "scalar", "avx2", "avx512vnni", "avx512bf16", "amx", "dotprod", "i8mm"

  /// What quantize adds to every value it stores, padding included, and gemm_s8 expects: 0, or 128 where the product is unsigned by signed, so that
  /// the values are then uint8 in [1, 255].
  uint8_t activation_offset;

  /// acc[m][n] = Σ_k a[m][k] · w[n][k], exact in int32 (in ≤ 65536).
  /// a: [rows ≤ kMaxRows] values in [-127, 127] + activation_offset, rows a_stride bytes apart, `in` each, a multiple of kDepthStep.
  /// panels: `panel_count` ≤ kMaxPanels consecutive panels, each in * 16 bytes. panel_sums: [panel_count * 16] Σ_k w[n][k] (for unsigned-by-signed
  /// products). acc: [rows][panel_count * 16] int32, contiguous. No pointer need be aligned beyond its own element.
  void (*gemm_s8)(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t* panel_sums, int32_t* acc);

  /// out[n] = acc[n] · (a_scale · w_scale[n]) + bias[n] (+ out[n] when accumulate); bias may be null.
  void (*dequantize)(const int32_t* acc, float a_scale, const float* w_scale, const float* bias, int count, float* out, bool accumulate);

  /// Symmetric INT8 of one row: scale = max|x| / 127, q = round-half-even(x · (127 / max|x|)); a row below kSmallestMagnitude is all zero and
  /// gives scale 0. Writes `padded` values + activation_offset, zeros + activation_offset after `count`; padded ≥ count is a multiple of kDepthStep.
  /// Returns the scale. Bit-equal between instruction sets but for the offset; q stays in [-127, 127] even where x is not finite.
  float (*quantize)(const float* x, int count, int padded, int8_t* q);

  /// out = (x − mean) / sqrt(var + epsilon) · gain + bias over one row; variance around the mean.
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, int count, float* out);

  /// out = x / sqrt(mean x² + epsilon) · gain over one row.
  void (*rms_norm)(const float* x, const float* gain, float epsilon, int count, float* out);

  void (*gelu_tanh)(float* x, size_t count);                 // in place
  void (*gelu_erf)(float* x, size_t count);                  // in place, exact erf form
  void (*swish)(float* x, float beta, size_t count);         // in place, x · σ(beta x): SiLU with 1, quick GELU with 1.702
  void (*add)(float* x, const float* y, size_t count);       // x += y
  void (*multiply)(float* x, const float* y, size_t count);  // x *= y

  /// c[m][n] = Σ_k a[m][k] · b[k][n] (+ c when accumulate). f32, n a multiple of 16. Patch embedding, q·kᵀ and p·v.
  void (*gemm_f32)(const float* a, size_t a_stride, int rows, int depth, const float* b, size_t b_stride, int columns, float* c, size_t c_stride,
                   bool accumulate);

  /// Online softmax of one row of scores: x[i] = exp(x[i] − max(*running_max, max x)), returns their sum; *running_max is updated. count ≥ 1.
  /// Scores and *running_max may be −∞, but not all of them at once. exp below −87.33 may be 0 or e^−87.33.
  float (*softmax_block)(float* x, int count, float* running_max);

  void (*scale)(const float* x, float factor, float* out, size_t count);  // out = x · factor; out may be x

  /// Rotary embedding of one head: (x[j], x[j + half]) turned by the angle whose cosine[j] and sine[j] are given, for j < half. Bit-equal between
  /// instruction sets.
  void (*rotate)(float* x, const float* cosine, const float* sine, int half);

  void (*to_half)(const float* x, half_t* out, size_t count);    // round to nearest even
  void (*from_half)(const half_t* x, float* out, size_t count);  // exact

  /// out[r * out_stride + c] = x[c * x_stride + r]: x [columns][rows] half → f32 [rows][out_stride]. For kᵀ of a cache block.
  void (*transpose_half)(const half_t* x, size_t x_stride, int rows, int columns, float* out, size_t out_stride);

  /// Decode attention of one head over one block of the cache, no unpacking: scores[i] = Σ_d q[d] · k[i][d].
  void (*dot_half)(const float* q, const half_t* k, size_t k_stride, int count, int head_size, float* scores);
  /// The same over keys that from_half made: bit-equal to it.
  void (*dot_float)(const float* q, const float* k, size_t k_stride, int count, int head_size, float* scores);
  /// out[d] += Σ_i p[i] · v[i][d].
  void (*weighted_half)(const float* p, const half_t* v, size_t v_stride, int count, int head_size, float* out);

  /// Null where the CPU has none: attention is then in f32 throughout.
  const Bf16Kernels* bf16 = nullptr;
};

/// Rows of the table this binary has and this CPU can run, best first; the last is always scalar.
struct KernelList {
  const Kernels* const* rows;
  int count;
};
KernelList kernels();

/// Why the row "amx" is not offered though the processor has AMX; null where it has none, or it is offered.
const char* amx_refusal();

/// The named row; null when this binary has no such row or this CPU cannot run it. Without a name (null or empty) the row that the environment
/// variable MIPHA_ISA names, for tests, and the best one when that is unset, unknown or not runnable: never null.
const Kernels* find_kernels(const char* name_or_null);

}  // namespace mipha::cpu
