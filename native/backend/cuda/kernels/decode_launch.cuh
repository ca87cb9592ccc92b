/// How many blocks a product of few rows gets, and how many rows at once.
#pragma once

#include <algorithm>

#include "backend/cuda/kernels/decode_epilogues.cuh"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {

inline Weights weights_of(const Matrix& matrix) {
  return {static_cast<const uint4*>(matrix.tiles), matrix.scale, matrix.bias, matrix.places / kTileRows};
}
inline bool is_wide(const Matrix& matrix) {
  return matrix.format != Format::kS8;
}

/// Shared memory that a block of this device may have.
inline cudaError_t shared_limit(int* bytes) {
  int device = 0;
  const cudaError_t error = cudaGetDevice(&device);
  return error != cudaSuccess ? error : cudaDeviceGetAttribute(bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
}
inline unsigned product_shared(const Matrix& matrix, int rows) {
  return kRowsAt + static_cast<unsigned>(rows * row_pitch(matrix.depth, is_wide(matrix)));
}

/// Blocks of one multiprocessor that __launch_bounds__ leaves registers for.
constexpr int kResident = 3;
inline unsigned product_blocks(const Launch& launch, int tiles, int limit, unsigned bytes, int resident) {
  return static_cast<unsigned>(std::min(tiles, launch.processors * std::clamp(limit / static_cast<int>(bytes), 1, resident)));
}

inline Rows from_row(Rows rows, int first, int count) {
  rows.values += first * rows.stride;
  rows.peak += first;
  rows.count = count;
  return rows;
}
inline Normed from_row(Normed rows, int first, int count) {
  rows.values += first * rows.stride;
  rows.count = count;
  return rows;
}
inline Store from_row(Store to, int first) {
  to.out += first * to.stride;
  return to;
}
inline Add from_row(Add to, int first) {
  to.out += first * to.stride;
  if (to.more != nullptr) to.more += first * to.stride;
  return to;
}
inline Activate from_row(Activate to, int first) {
  to.out += first * to.stride;
  if (to.peak != nullptr) to.peak += first;
  return to;
}
inline Heads from_row(Heads to, int first) {
  to.q += static_cast<int64_t>(first) * to.heads * to.head_size;
  to.places += first;
  return to;
}

/// f(first, count, shared memory's limit) for the rows that fit into a block's shared memory, all of them at once where they do.
template <class F>
cudaError_t for_rows(const Matrix& matrix, int rows, F f) {
  int limit = 0;
  cudaError_t error = shared_limit(&limit);
  const int fit = (limit - static_cast<int>(kRowsAt)) / row_pitch(matrix.depth, is_wide(matrix));
  if (error == cudaSuccess && fit < 1) return cudaErrorInvalidConfiguration;
  for (int first = 0; error == cudaSuccess && first < rows; first += fit) error = f(first, std::min(fit, rows - first), limit);
  return error;
}

/// f of the format as a type.
template <Format kFormat>
struct FormatOf {
  static constexpr Format value = kFormat;
};
template <class F>
cudaError_t with_format(Format format, F f) {
  if (format == Format::kS8) return f(FormatOf<Format::kS8>());
  return format == Format::kS8Wide ? f(FormatOf<Format::kS8Wide>()) : f(FormatOf<Format::kF16>());
}

}  // namespace mipha::cuda
