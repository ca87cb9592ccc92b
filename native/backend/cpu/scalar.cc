// The scalar twin: what every kernel computes, in plain loops. Also what a CPU without any of the other rows runs.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/tables.h"
#include "core/half.h"

namespace mipha::cpu {
namespace {

/// Weight of output row n and depth k within its panel.
size_t panel_index(int n, int k) {
  return (static_cast<size_t>(k / 4) * kPanel + n) * 4 + k % 4;
}

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t*, int32_t* acc) {
  for (int m = 0; m < rows; ++m) {
    for (int p = 0; p < panel_count; ++p) {
      const int8_t* panel = panels + static_cast<size_t>(p) * in * kPanel;
      for (int n = 0; n < kPanel; ++n) {
        int32_t sum = 0;
        for (int k = 0; k < in; ++k) sum += a[m * a_stride + k] * panel[panel_index(n, k)];
        acc[(m * panel_count + p) * kPanel + n] = sum;
      }
    }
  }
}

void dequantize(const int32_t* acc, float a_scale, const float* w_scale, const float* bias, int count, float* out, bool accumulate) {
  for (int n = 0; n < count; ++n) {
    const float y = static_cast<float>(acc[n]) * (a_scale * w_scale[n]) + (bias ? bias[n] : 0.0f);
    out[n] = accumulate ? out[n] + y : y;
  }
}

float quantize(const float* x, int count, int padded, int8_t* q) {
  float magnitude = 0;
  for (int i = 0; i < count; ++i) magnitude = std::fabs(x[i]) > magnitude ? std::fabs(x[i]) : magnitude;
  std::fill_n(q, padded, 0);
  if (magnitude < kSmallestMagnitude) return 0;
  const float inverse = 127.0f / magnitude;
  for (int i = 0; i < count; ++i) {
    const float value = x[i] * inverse;
    const float above = value > -127.0f ? value : -127.0f;  // −127 where value is NaN
    q[i] = static_cast<int8_t>(std::nearbyint(above < 127.0f ? above : 127.0f));
  }
  return magnitude / 127.0f;
}

void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, int count, float* out) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(count);
  float squares = 0;
  for (int i = 0; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(count) + epsilon);
  for (int i = 0; i < count; ++i) out[i] = (x[i] - mean) * inverse * gain[i] + bias[i];
}

void rms_norm(const float* x, const float* gain, float epsilon, int count, float* out) {
  float squares = 0;
  for (int i = 0; i < count; ++i) squares += x[i] * x[i];
  const float inverse = 1.0f / std::sqrt(squares / static_cast<float>(count) + epsilon);
  for (int i = 0; i < count; ++i) out[i] = x[i] * inverse * gain[i];
}

void gelu_tanh(float* x, size_t count) {
  constexpr float kSqrtTwoOverPi = 0.797884561f;
  for (size_t i = 0; i < count; ++i) x[i] = 0.5f * x[i] * (1 + std::tanh(kSqrtTwoOverPi * (x[i] + 0.044715f * x[i] * x[i] * x[i])));
}

void gelu_erf(float* x, size_t count) {
  constexpr float kSqrtHalf = 0.707106781f;
  for (size_t i = 0; i < count; ++i) x[i] = 0.5f * x[i] * (1 + std::erf(x[i] * kSqrtHalf));
}

void swish(float* x, float beta, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] /= 1 + std::exp(-beta * x[i]);
}

void add(float* x, const float* y, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] += y[i];
}

void multiply(float* x, const float* y, size_t count) {
  for (size_t i = 0; i < count; ++i) x[i] *= y[i];
}

void gemm_f32(const float* a, size_t a_stride, int rows, int depth, const float* b, size_t b_stride, int columns, float* c, size_t c_stride,
              bool accumulate) {
  for (int m = 0; m < rows; ++m) {
    float* row = c + m * c_stride;
    if (!accumulate) std::fill_n(row, columns, 0.0f);
    for (int k = 0; k < depth; ++k) {
      for (int n = 0; n < columns; ++n) row[n] += a[m * a_stride + k] * b[k * b_stride + n];
    }
  }
}

float softmax_block(float* x, int count, float* running_max) {
  for (int i = 0; i < count; ++i) *running_max = std::max(*running_max, x[i]);
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - *running_max);
  return sum;
}

void scale(const float* x, float factor, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = x[i] * factor;
}

void rotate(float* x, const float* cosine, const float* sine, int half) {
  for (int j = 0; j < half; ++j) {
    const float a = x[j], b = x[j + half];
    x[j] = a * cosine[j] - b * sine[j];
    x[j + half] = b * cosine[j] + a * sine[j];
  }
}

void to_half(const float* x, half_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = mipha::to_half(x[i]);
}

void from_half(const half_t* x, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = mipha::from_half(x[i]);
}

void transpose_half(const half_t* x, size_t x_stride, int rows, int columns, float* out, size_t out_stride) {
  for (int c = 0; c < columns; ++c) {
    for (int r = 0; r < rows; ++r) out[r * out_stride + c] = mipha::from_half(x[c * x_stride + r]);
  }
}

float as_float(half_t x) {
  return mipha::from_half(x);
}
float as_float(float x) {
  return x;
}

template <typename T>
void dot(const float* q, const T* k, size_t k_stride, int count, int head_size, float* scores) {
  for (int i = 0; i < count; ++i) {
    scores[i] = 0;
    for (int d = 0; d < head_size; ++d) scores[i] += q[d] * as_float(k[i * k_stride + d]);
  }
}

void weighted_half(const float* p, const half_t* v, size_t v_stride, int count, int head_size, float* out) {
  for (int i = 0; i < count; ++i) {
    for (int d = 0; d < head_size; ++d) out[d] += p[i] * mipha::from_half(v[i * v_stride + d]);
  }
}

/// To the nearest, ties to even.
bfloat16_t to_bf16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return static_cast<bfloat16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float from_bf16(bfloat16_t x) {
  const uint32_t bits = static_cast<uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void round_bf16(const float* x, bfloat16_t* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = to_bf16(x[i]);
}

uint32_t pair_of(half_t low, half_t high) {
  return to_bf16(mipha::from_half(low)) | static_cast<uint32_t>(to_bf16(mipha::from_half(high))) << 16;
}

void pair_values(const half_t* v, int head_size, int count, uint32_t* out, size_t out_stride) {
  const auto value = [&](int row, int d) { return row < count && d < head_size ? v[row * head_size + d] : half_t{0}; };
  for (int row = 0; row < count; row += 2) {
    for (int d = 0; d < (head_size + 15) / 16 * 16; ++d) out[row / 2 * out_stride + d] = pair_of(value(row, d), value(row + 1, d));
  }
}

void gemm_bf16(const bfloat16_t* a, size_t a_stride, int rows, int pairs, const uint32_t* b, size_t b_stride, int columns, float* c, size_t c_stride,
               bool accumulate) {
  for (int m = 0; m < rows; ++m) {
    for (int n = 0; n < columns; ++n) {
      float sum = accumulate ? c[m * c_stride + n] : 0;
      for (int k = 0; k < pairs; ++k) {
        const uint32_t pair = b[k * b_stride + n];
        sum += from_bf16(a[m * a_stride + 2 * k]) * from_bf16(static_cast<bfloat16_t>(pair));
        sum += from_bf16(a[m * a_stride + 2 * k + 1]) * from_bf16(static_cast<bfloat16_t>(pair >> 16));
      }
      c[m * c_stride + n] = sum;
    }
  }
}

}  // namespace

const Bf16Kernels kScalarBf16Kernels = {round_bf16, pair_values, gemm_bf16};

const Kernels kScalarKernels = {"scalar",       0,           gemm_s8,    dequantize,   quantize,      layer_norm, rms_norm, gelu_tanh, gelu_erf,
                                swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                                transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
