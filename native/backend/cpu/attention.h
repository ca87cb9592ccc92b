// softmax(q · kᵀ) · v over an f16 cache with f32 scores and sums. q is scaled before the product: Phi-2's raw scores leave the range of f16.
#pragma once

#include "backend/cpu/cache.h"
#include "backend/cpu/matmul.h"

namespace mipha::cpu {

/// Rows of one sequence that look at its cache.
struct Attended {
  const int* blocks = nullptr;  // the sequence's block table
  int first = 0;                // position of row 0
  int count = 0;                // rows
  bool causal = true;           // row i sees positions 0..first + i; otherwise every row sees 0..first + count − 1
};

class Attention {
 public:
  /// Scratch for `threads` threads; `positions` is the longest sequence. `heads` are those of q, a multiple of the cache's.
  Attention(Arena& arena, int threads, int heads, int head_size, int positions);

  /// Prefill: q [count, q_stride] holds all heads side by side; out [count, heads * head_size].
  void prefill(const Team& team, const CacheBlocks& cache, int layer, const Attended& rows, const float* q, size_t q_stride, float* out) const;

  /// Decode: one row for each of `count` sequences; rows[i].count == 1. Heads are the unit of work, so that blocks shared by the sequences
  /// of a batch are still in the core's cache when the next sequence reads them.
  void decode(const Team& team, const CacheBlocks& cache, int layer, const Attended* rows, int count, const float* q, size_t q_stride,
              float* out) const;

 private:
  struct Scratch {
    float* q;       // [kTileRows, head_size] scaled
    float* keys;    // [head_size, kTileKeys] transposed
    float* values;  // [kTileKeys, padded_head]
    float* scores;  // [kTileRows, kTileKeys], or [positions] in decode
    float* sum;     // [kTileRows, padded_head]
    float* max;     // [kTileRows]
    float* total;   // [kTileRows]
  };
  void prefill_tile(const Kernels& kernels, const CacheBlocks& cache, int layer, int head, const Attended& rows, int first_row, const float* q,
                    size_t q_stride, float* out, const Scratch& scratch) const;
  void decode_row(const Kernels& kernels, const CacheBlocks& cache, int layer, int head, const Attended& row, const float* q, float* out,
                  const Scratch& scratch) const;

  int heads_ = 0;
  int head_size_ = 0;
  int padded_head_ = 0;  // to 16
  std::vector<Scratch> scratch_;
};

}  // namespace mipha::cpu
