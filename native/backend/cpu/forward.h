// The forward pass on the CPU, visible from top to bottom: INT8 products, everything between them in FP32.
#pragma once

#include <vector>

#include "backend/cpu/attention.h"
#include "backend/cpu/packed_weights.h"

namespace mipha::cpu {

class Forward {
 public:
  /// Lays out activations for at most `max_rows` rows at once and the tower's own keys and values.
  Forward(Arena& arena, const Package& package, PackedWeights& weights, const CacheBlocks& cache, int threads, int max_rows);

  /// Fills the rotary table; call once, with memory behind the arena.
  void prepare();

  int max_rows() const { return max_rows_; }
  void set_probe(Probe probe) { probe_ = std::move(probe); }

  /// pixels uint8 [size, size, 3] → features [image tokens, language.hidden], kept inside. False when cancelled.
  bool encode(const Team& team, const uint8_t* pixels, const Cancelled& cancelled);

  // Language input, row by row.
  void embed_token(int row, int32_t id);
  void embed_feature(int row, int feature);

  /// Runs every layer over the embedded rows, which belong to `spans` one after the other, each of another sequence; writes their keys and
  /// values. `wanted`, ascending: the rows whose logits will be asked for, which the last block is computed for alone. False when cancelled.
  bool layers(const Team& team, const Attended* spans, int span_count, const std::vector<int>& wanted, const Cancelled& cancelled);

  /// Final norm and head of the `count` ≥ 1 wanted rows → logits [count, vocab].
  void logits(const Team& team, int count, float* out);

 private:
  /// What the rows of a block look at: a layer of a cache, through the tables of the sequences they belong to.
  struct Sight {
    const CacheBlocks& cache;
    const Attention& attention;
    int layer;
    const Attended* spans;
    int span_count;
  };
  void embed_patches(const Team& team, const uint8_t* pixels);
  void project(const Team& team);
  void block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows);
  void enter_block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows);
  void leave_block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows);
  void last_block(const Team& team, const PackedBlock& w, const Sight& sight, int rows, const std::vector<int>& wanted);
  void rotate_and_store(const Team& team, const BlockConfig& config, const Sight& sight, int rows);
  void rotate_and_store_row(const Kernels& kernels, const BlockConfig& config, const Sight& sight, const Attended& span, int i, float* qkv) const;
  void attend(const Team& team, const BlockConfig& config, const Sight& sight);
  void show(const char* prefix, int index, const float* data, int rows, int columns) const;

  const Config& config_;
  const Weights& tensors_;  // embedding, positions, norms: read from the map as they are
  PackedWeights& weights_;
  const CacheBlocks& cache_;
  const int max_rows_;
  CacheBlocks tower_cache_;
  std::vector<int> tower_blocks_;
  Attention tower_attention_, attention_;
  Probe probe_;

  // Activations; the tower and the language model never run at the same time and share them. W is the wider of both models.
  float* x_;          // [rows, W] residual stream
  float* normed_;     // [rows, W]
  float* qkv_;        // [rows, qkv_width]
  float* attended_;   // [rows, the wider of W and attention_width]
  float* hidden_;     // [rows, widest up_width]
  int8_t* q8_;        // [rows, padded W] or [rows, padded intermediate]
  float* q8_scale_;   // [rows]
  float* projected_;  // [rows the projector sees, language.hidden], where it pools
  float* features_;   // [image tokens, language.hidden]
  float* cosine_;     // [context, rotary_dims / 2]
  float* sine_;
};

}  // namespace mipha::cpu
