#include "backend/cpu/matmul.h"

#include <algorithm>

namespace mipha::cpu {
namespace {

constexpr int kAhead = 3;                   // rows whose lines are asked for before they are written
constexpr int kTile = kPanel * kMaxPanels;  // output columns per unit of work: its weights stay in the L2 cache while all rows pass

/// Rows to take next of `left`: groups of nearly one size, because a thin last group costs about as much as a full one.
int next_rows(int left) {
  const int groups = (left + kMaxRows - 1) / kMaxRows;
  return (left + groups - 1) / groups;
}

/// Asks for lines that are written soon, because a store that has to wait for its line holds up those behind it.
template <int Locality>
void fetch(const float* out, int columns) {
  for (int i = 0; i < columns; i += 64 / static_cast<int>(sizeof(float))) __builtin_prefetch(out + i, 1, Locality);
}

/// Columns [first, first + kTile) of all rows, INT8.
void tile_s8(const Kernels& kernels, const PackedLinear& weight, const Activations& rows, int first, Epilogue epilogue, float* out,
             size_t out_stride) {
  const int columns = std::min(kTile, weight.out - first);
  const int panels = (columns + kPanel - 1) / kPanel, padded_in = weight.padded_in();
  const float* bias = weight.bias ? weight.bias + first : nullptr;
  int32_t acc[kMaxRows * kTile];
  for (int row = 0, count; row < rows.count; row += count) {
    count = next_rows(rows.count - row);
    kernels.gemm_s8(rows.quantized + static_cast<size_t>(row) * padded_in, padded_in, count, padded_in,
                    weight.tiles + static_cast<size_t>(first) * padded_in, panels, weight.sums + first, acc);
    for (int i = 0; i < count; ++i) {
      float* to = out + (row + i) * out_stride + first;
      if (row + count + i < rows.count) fetch<2>(to + count * out_stride, columns);  // from memory, during the next product
      if (i + kAhead < count) fetch<3>(to + kAhead * out_stride, columns);
      kernels.dequantize(acc + i * panels * kPanel, rows.scale[row + i], weight.scale + first, bias, columns, to, epilogue == Epilogue::kAdd);
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
    kernels.gemm_f32(rows.row(row), rows.stride, count, weight.in, weight.transposed + first, weight.padded_out(), padded, y, kTile, false);
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

void quantize_row(const Kernels& kernels, const Activations& rows, int row) {
  const int padded = rows.padded();
  rows.scale[row] = kernels.quantize(rows.row(row), rows.width, padded, rows.quantized + static_cast<size_t>(row) * padded);
}

}  // namespace

void activate(const Kernels& kernels, Epilogue activation, float* x, int count) {
  switch (activation) {
    case Epilogue::kGeluTanh:
      return kernels.gelu_tanh(x, count);
    case Epilogue::kGeluErf:
      return kernels.gelu_erf(x, count);
    case Epilogue::kQuickGelu:
      return kernels.swish(x, 1.702f, count);
    case Epilogue::kSilu:
      return kernels.swish(x, 1.0f, count);
    case Epilogue::kStore:
    case Epilogue::kAdd:
      return;
  }
}

void quantize(const Team& team, const Activations& rows) {
  team.pool.each(rows.count, [&](int row, int) { quantize_row(team.kernels, rows, row); });
}

void prepare_input(const Team& team, const PackedLinear& weight, const Activations& rows) {
  if (weight.smooth == nullptr && weight.tiles == nullptr) return;
  team.pool.each(rows.count, [&](int row, int) {
    if (weight.smooth != nullptr) team.kernels.multiply(rows.row(row), weight.smooth, rows.width);
    if (weight.tiles != nullptr) quantize_row(team.kernels, rows, row);
  });
}

void normalize_and_quantize(const Team& team, const BlockConfig& config, const Norm& norm, const float* x, const Activations& out) {
  team.pool.each(out.count, [&](int row, int) {
    normalize(team.kernels, config, norm, x + static_cast<size_t>(row) * config.hidden, out.row(row));
    quantize_row(team.kernels, out, row);
  });
}

void matmul(const Team& team, const PackedLinear& weight, const Activations& rows, Epilogue epilogue, float* out, size_t out_stride) {
  const auto tile = weight.tiles != nullptr ? tile_s8 : tile_f32;
  team.pool.each((weight.out + kTile - 1) / kTile,
                 [&](int index, int) { tile(team.kernels, weight, rows, index * kTile, epilogue, out, out_stride); });
}

void normalize(const Kernels& kernels, const BlockConfig& config, const Norm& norm, const float* x, float* out) {
  if (config.norm == NormKind::kRms) return kernels.rms_norm(x, norm.gain, config.epsilon, config.hidden, out);
  kernels.layer_norm(x, norm.gain, norm.bias, config.epsilon, config.hidden, out);
}

void normalize(const Team& team, const BlockConfig& config, const Norm& norm, const float* x, int count, float* out) {
  team.pool.each(count, [&](int row, int) {
    const size_t offset = static_cast<size_t>(row) * config.hidden;
    normalize(team.kernels, config, norm, x + offset, out + offset);
  });
}

void gate(const Team& team, Epilogue activation, float* rows, int count, int width) {
  team.pool.each(count, [&](int index, int) {
    float* const row = rows + static_cast<size_t>(index) * 2 * width;
    activate(team.kernels, activation, row, width);
    team.kernels.multiply(row, row + width, width);
  });
}

}  // namespace mipha::cpu
