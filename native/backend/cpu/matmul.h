// y = x · Wᵀ + b over many rows, on all threads: quantizes the rows, walks the packed panels, scales back.
#pragma once

#include <cstdint>

#include "backend/cpu/pack.h"
#include "core/arena.h"
#include "core/thread_pool.h"

namespace mipha::cpu {

/// A Linear ready for the kernels. INT8 weights are panels; f16 and f32 weights, and INT8 ones whose input stays wide, become f32 transposed for
/// gemm_f32.
struct PackedLinear : Packed {
  const int8_t* tiles = nullptr;      // [padded_out / 16][padded_in / 4][16][4]
  const int32_t* sums = nullptr;      // [padded_out] Σ of each row
  const float* transposed = nullptr;  // [in][padded_out], instead of tiles
  const float* scale = nullptr;       // [out], with tiles
  const float* bias = nullptr;        // [out] or null
  const float* smooth = nullptr;      // [in] or null
};

/// Rows going into a matmul: f32, and their INT8 twin once quantize() has filled it.
struct Activations {
  float* values = nullptr;      // [count, width]
  int8_t* quantized = nullptr;  // [count, padded width]
  float* scale = nullptr;       // [count]
  int count = 0, width = 0;

  int padded() const { return (width + kDepthStep - 1) / kDepthStep * kDepthStep; }
};

/// What happens to the result before it is stored.
enum class Epilogue { kStore, kAdd, kGeluTanh, kGeluErf };  // kAdd: out += y, the residual

struct Team {
  const Kernels& kernels;
  ThreadPool& pool;
};

/// Fills rows.quantized and rows.scale, one scale per row (token).
void quantize(const Team& team, const Activations& rows);

/// Makes rows ready to go into `weight` alone: smooths rows.values in place and quantizes them if the product is INT8.
void prepare_input(const Team& team, const PackedLinear& weight, const Activations& rows);

/// out[r * out_stride + n] for every row. With INT8 weights the rows must have been quantized.
void matmul(const Team& team, const PackedLinear& weight, const Activations& rows, Epilogue epilogue, float* out, size_t out_stride);

/// LayerNorm of [count, width] rows.
void layer_norm(const Team& team, const float* x, const float* gain, const float* bias, float epsilon, int count, int width, float* out);

}  // namespace mipha::cpu
