#include "backend/cpu/matmul.h"

#include <algorithm>

namespace mipha::cpu {
namespace {

constexpr int kTile = kPanel * kMaxPanels;  // output columns per unit of work: its weights stay in the L2 cache while all rows pass

/// Rows to take next of `left`: groups of nearly one size, because a thin last group costs about as much as a full one.
int next_rows(int left) {
  const int groups = (left + kMaxRows - 1) / kMaxRows;
  return (left + groups - 1) / groups;
}

void activate(const Kernels& kernels, Epilogue epilogue, float* y, int count) {
  if (epilogue == Epilogue::kGeluTanh) kernels.gelu_tanh(y, count);
  if (epilogue == Epilogue::kGeluErf) kernels.gelu_erf(y, count);
}

/// Columns [first, first + kTile) of all rows, INT8.
void tile_s8(const Kernels& kernels, const PackedLinear& weight, const Activations& rows, int first, Epilogue epilogue, float* out,
             size_t out_stride) {
  const int columns = std::min(kTile, weight.out - first);
  const int panels = (columns + kPanel - 1) / kPanel, padded_in = weight.padded_in();
  const float* bias = weight.bias ? weight.bias + first : nullptr;
  int32_t acc[kMaxRows * kTile];
  float y[kTile];
  for (int row = 0, count; row < rows.count; row += count) {
    count = next_rows(rows.count - row);
    kernels.gemm_s8(rows.quantized + static_cast<size_t>(row) * padded_in, padded_in, count, padded_in,
                    weight.tiles + static_cast<size_t>(first) * padded_in, panels, weight.sums + first, acc);
    for (int i = 0; i < count; ++i) {
      float* to = out + (row + i) * out_stride + first;
      kernels.dequantize(acc + i * panels * kPanel, rows.scale[row + i], weight.scale + first, bias, columns, epilogue == Epilogue::kAdd ? y : to);
      if (epilogue == Epilogue::kAdd)
        kernels.add(to, y, columns);
      else
        activate(kernels, epilogue, to, columns);
    }
  }
}

/// The same in f32, for the matrices whose inputs are not quantized.
void tile_f32(const Kernels& kernels, const PackedLinear& weight, const Activations& rows, int first, Epilogue epilogue, float* out,
              size_t out_stride) {
  const int columns = std::min(kTile, weight.out - first), padded = (columns + kPanel - 1) / kPanel * kPanel;
  float y[kMaxRows * kTile];
  for (int row = 0, count; row < rows.count; row += count) {
    count = next_rows(rows.count - row);
    kernels.gemm_f32(rows.values + static_cast<size_t>(row) * rows.width, rows.width, count, weight.in, weight.transposed + first,
                     weight.padded_out(), padded, y, kTile, false);
    for (int i = 0; i < count; ++i) {
      float *from = y + i * kTile, *to = out + (row + i) * out_stride + first;
      if (weight.bias) kernels.add(from, weight.bias + first, columns);
      if (epilogue == Epilogue::kAdd) {
        kernels.add(to, from, columns);
        continue;
      }
      std::copy(from, from + columns, to);  // whole panels were computed, and the row may end before
      activate(kernels, epilogue, to, columns);
    }
  }
}

}  // namespace

void quantize(const Team& team, const Activations& rows) {
  const int padded = rows.padded();
  team.pool.each(rows.count, [&](int row, int) {
    rows.scale[row] = team.kernels.quantize(rows.values + static_cast<size_t>(row) * rows.width, rows.width, padded,
                                            rows.quantized + static_cast<size_t>(row) * padded);
  });
}

void prepare_input(const Team& team, const PackedLinear& weight, const Activations& rows) {
  if (weight.smooth != nullptr) {
    team.pool.each(rows.count, [&](int row, int) {
      float* values = rows.values + static_cast<size_t>(row) * rows.width;
      for (int i = 0; i < rows.width; ++i) values[i] *= weight.smooth[i];
    });
  }
  if (weight.tiles != nullptr) quantize(team, rows);
}

void matmul(const Team& team, const PackedLinear& weight, const Activations& rows, Epilogue epilogue, float* out, size_t out_stride) {
  const auto tile = weight.tiles != nullptr ? tile_s8 : tile_f32;
  team.pool.each((weight.out + kTile - 1) / kTile,
                 [&](int index, int) { tile(team.kernels, weight, rows, index * kTile, epilogue, out, out_stride); });
}

void layer_norm(const Team& team, const float* x, const float* gain, const float* bias, float epsilon, int count, int width, float* out) {
  team.pool.each(count, [&](int row, int) {
    const size_t offset = static_cast<size_t>(row) * width;
    team.kernels.layer_norm(x + offset, gain, bias, epsilon, width, out + offset);
  });
}

}  // namespace mipha::cpu
