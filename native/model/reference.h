// The FP32 forward pass, pixels to logits: what every backend is compared with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/stages.h"

namespace mipha {

/// Called with each intermediate: "tower.i" [vision.rows, vision.hidden], "features" [image_tokens, hidden], "language.i" [rows, hidden]; i = 0 is
/// the embedding. `rows` of a chunked run are the new rows only.
using Probe = std::function<void(const std::string& name, const float* data, int rows, int columns)>;

class Reference {
 public:
  Reference(const Config& config, const Weights& weights);

  /// pixels uint8 [image_size, image_size, 3] → features [image_tokens, language.hidden].
  std::vector<float> encode(const uint8_t* pixels, const Probe& probe = {}) const;

  /// One row of the embedding: [language.hidden].
  std::vector<float> embed(int id) const { return stages_.embed(id); }

  /// Feeds `rows` embedded rows [rows, hidden] after those already seen; → logits [rows, vocab]. Keys and values are kept in FP32.
  std::vector<float> append(const std::vector<float>& embedded, const Probe& probe = {});

  /// Forgets every row.
  void reset();

 private:
  const Stages stages_;
  int length_ = 0;
  std::vector<Floats> keys_, values_;  // per layer [length, kv_width]
};

}  // namespace mipha
