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

  /// Positions that row `row` sees.
  int seen(int row) const { return first + (causal ? row + 1 : count); }
};

class Attention {
 public:
  /// Scratch for `threads` threads; `positions` is the longest sequence. `heads` are those of q, a multiple of the cache's.
  Attention(Arena& arena, int threads, int heads, int head_size, int positions);

  /// Prefill of consecutive spans, each of another sequence: q [Σ spans[i].count, q_stride] holds all heads side by side; out
  /// [Σ spans[i].count, heads * head_size]. Blocks that spans share are made ready for their product once.
  /// Scores are in f32 always. Weights and values are multiplied in BF16 where the CPU has kernels for it: that moves a sum by 2^-8 Σ |p v| at most,
  /// and by far less than the INT8 product does for which it is quantized next. What a row gets does not depend on the rows beside it.
  void prefill(const Team& team, const CacheBlocks& cache, int layer, const Attended* spans, int span_count, const float* q, size_t q_stride,
               float* out) const;

  /// Decode: one row for each of `count` sequences; rows[i].count == 1. A row alone takes heads side by side, as they lie in a block; several rows
  /// take a head together, so that blocks that they share come from memory once.
  void decode(const Team& team, const CacheBlocks& cache, int layer, const Attended* rows, int count, const float* q, size_t q_stride,
              float* out) const;

 private:
  struct Scratch {
    float* q;               // [kGroupRows, head_size] scaled
    float* sum;             // [kGroupRows, padded_head]
    float* max;             // [kGroupRows]
    float* total;           // [kGroupRows]
    float* keys;            // [head_size, kTileKeys] transposed
    float* values;          // [kTileKeys, padded_head], or
    uint32_t* value_pairs;  // [kTileKeys / 2, padded_head]
    float* scores;          // [kTileRows, kTileKeys], or [kLanes, positions] in decode
    bfloat16_t* weights;    // [kTileRows, kTileKeys]
  };
  /// Rows [first, first + count) of a span; they are rows [at, at + count) of the scratch.
  struct Part {
    const Attended* span;
    int first, count, at;
  };
  /// A head of a layer, where it lies.
  struct Head {
    const CacheBlocks& cache;
    int layer, kv;
  };

  /// Positions [base, base + keys) of a head, whose keys and values lie ready in the scratch.
  struct Tile {
    int base, keys;
  };

  /// A head of a row that is decoded.
  struct Lane {
    const Attended* row;
    int kv_head;
    const float* q;
    float* out;
  };

  /// The largest number of heads of a row that one thread decodes.
  int heads_at_once(int threads) const { return (heads_ + threads - 1) / threads; }
  void prefill_group(const Kernels& kernels, const Head& head, const Part* parts, int part_count, const Scratch& scratch) const;
  Tile make_tile(const Kernels& kernels, const Head& head, const int* blocks, int base, int keys, const Scratch& scratch) const;
  /// Adds that tile to the sums of `count` ≤ kTileRows rows of a part, from its row `row` on.
  void add_tile(const Kernels& kernels, const Tile& tile, const Part& part, int row, int count, const Scratch& scratch) const;
  void decode_lanes(const Kernels& kernels, const CacheBlocks& cache, int layer, const Lane* lanes, int count, const Scratch& scratch) const;

  int heads_ = 0;
  int head_size_ = 0;
  int padded_head_ = 0;  // to 16
  std::vector<Scratch> scratch_;
};

}  // namespace mipha::cpu
