// The FP32 forward pass in plain loops, one function per stage: Reference runs them in order, calibration runs one stage over many samples.
// The blocks are those of block.h, the whole is LLaVA's (arXiv 2310.03744), as Mipha has it (arXiv 2403.06199). Slow on purpose; works on weights of
// any stored type.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace mipha {

class ThreadPool;

using Floats = std::vector<float>;  // [rows, columns], row-major; every function below says which

/// Sees what enters each weighted product, smoothed, by the name of the matrix in the recipe ("language.layers.3.qkv"), and may change it in
/// place. Two matrices that share an input are each shown a copy of their own.
using Tap = std::function<void(const std::string& matrix, float* data, int rows, int columns)>;

/// Cosine and sine of the rotated dims, one row for each row of hidden states: [rows, rotary_dims / 2].
struct Angles {
  Floats cosine, sine;
};

/// Rotary positions (RoFormer, arXiv 2104.09864) of rows at `first`, `first` + 1, …
Angles angles(const BlockConfig& config, int first, int rows);

class Stages {
 public:
  /// `weights` (not what they point at) is copied. `pool` divides the output rows of each product; results are the same with any.
  Stages(const Config& config, const Weights& weights, ThreadPool* pool = nullptr) : config_(config), weights_(weights), pool_(pool) {}

  const Config& config() const { return config_; }
  Weights& weights() { return weights_; }  // a calibration run puts a quantized matrix in the place of one of these

  /// pixels uint8 [image_size, image_size, 3] → what the first block reads, [vision.rows, vision.hidden]
  Floats patches(const uint8_t* pixels, const Tap& tap = {}) const;
  /// x [vision.rows, vision.hidden], in place.
  void vision_layer(int layer, Floats& x, const Tap& tap = {}) const;
  /// x [vision.rows, vision.hidden] → features [image_tokens, language.hidden]
  Floats projector(Floats x, const Tap& tap = {}) const;

  /// One row of the embedding: [language.hidden].
  Floats embed(int id) const;
  /// x [rows, hidden], in place. keys, values [past, kv_width], keys rotated: the rows of this call are added behind them.
  /// Row r looks at past rows and rows of this call where mask [rows, past + rows] is 0; anything below −1e4 hides. Null: causal.
  void language_layer(int layer, Floats& x, const Angles& angles, Floats& keys, Floats& values, const float* mask = nullptr,
                      const Tap& tap = {}) const;
  /// x [rows, hidden] → [rows, hidden]
  Floats final_norm(const Floats& x) const;
  /// normed [rows, hidden] → logits [rows, vocab]
  Floats head(const Floats& normed, const Tap& tap = {}) const;

 private:
  /// What the rows of a block look at besides each other.
  struct Sight {
    const Angles& angles;
    Floats &keys, &values;  // [past, kv_width], keys rotated: the new rows are added behind them
    const float* mask;      // [rows, past + rows], or null: as the block is causal or not
  };
  void block(const BlockConfig& config, const BlockOf<Linear>& w, const std::string& name, Floats& x, const Sight& sight, const Tap& tap) const;
  Floats linear(const Linear& w, const std::string& name, Floats x, const Tap& tap) const;

  Config config_;
  Weights weights_;
  ThreadPool* pool_;
};

}  // namespace mipha
