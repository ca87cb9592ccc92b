// An 8 × 8 tile of halves transposed into floats; used by both x86 wrappers (512-bit registers would need one more round of shuffles).
#pragma once

#include <immintrin.h>

#include "backend/cpu/kernels.h"

namespace mipha::cpu {
namespace {

constexpr int kTile = 8;

/// out[r * out_stride + c] = x[c * x_stride + r] for r, c < kTile.
inline void transpose_tile(const half_t* x, size_t x_stride, float* out, size_t out_stride) {
  __m256 row[8], pair[8];
  for (int i = 0; i < 8; ++i) row[i] = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * x_stride)));
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {  // row[i + j]: values j and j + 4 of source rows i … i + 3
    row[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    row[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
    row[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    row[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
  }
  for (int j = 0; j < 4; ++j) {
    _mm256_storeu_ps(out + j * out_stride, _mm256_permute2f128_ps(row[j], row[j + 4], 0x20));
    _mm256_storeu_ps(out + (j + 4) * out_stride, _mm256_permute2f128_ps(row[j], row[j + 4], 0x31));
  }
}

}  // namespace
}  // namespace mipha::cpu
