// y = x · Wᵀ + b over many rows, on all threads: quantizes the rows, walks the packed panels, scales back.
#pragma once

#include <cstdint>

#include "backend/cpu/pack.h"
#include "core/arena.h"
#include "core/thread_pool.h"
#include "model/block.h"

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
  float* values = nullptr;      // [count, width], rows `stride` apart
  int8_t* quantized = nullptr;  // [count, padded width]
  float* scale = nullptr;       // [count]
  int count = 0, width = 0;
  size_t stride = width;

  float* row(int index) const { return values + index * stride; }
  int padded() const { return (width + kDepthStep - 1) / kDepthStep * kDepthStep; }
};

/// What happens to the result before it is stored.
enum class Epilogue { kStore, kAdd, kGeluTanh, kGeluErf, kQuickGelu, kSilu };  // kAdd: out += y, the residual

/// In place, by one of the last four.
void activate(const Kernels& kernels, Epilogue activation, float* x, int count);

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

/// One row [config.hidden].
void normalize(const Kernels& kernels, const BlockConfig& config, const Norm& norm, const float* x, float* out);

/// x [count, config.hidden] → out, which may be x.
void normalize(const Team& team, const BlockConfig& config, const Norm& norm, const float* x, int count, float* out);

/// x [out.count, config.hidden] → out, INT8 too, while a row is at hand.
void normalize_and_quantize(const Team& team, const BlockConfig& config, const Norm& norm, const float* x, const Activations& out);

/// What enters `down` of a gated MLP: row [2 * width], gate before up → activation(gate) ∘ up in its first half, in place.
void gate(const Team& team, Epilogue activation, float* rows, int count, int width);

}  // namespace mipha::cpu
