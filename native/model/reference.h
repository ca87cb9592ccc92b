// The FP32 forward pass in plain loops, pixels to logits: what calibration runs on and what every backend is compared with.
// Follows arXiv 2403.06199 (Mipha), SigLIP (arXiv 2303.15343) and Phi-2. Slow on purpose; works on weights of any stored type.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights.h"

namespace mipha {

/// Called with each intermediate: "tower.i" [tokens, vision.hidden], "features" [tokens, hidden], "language.i" [rows, hidden]; i = 0 is the
/// embedding. `rows` of a chunked run are the new rows only.
using Probe = std::function<void(const std::string& name, const float* data, int rows, int columns)>;

class Reference {
 public:
  Reference(const Config& config, const Weights& weights);

  /// pixels uint8 [image_size, image_size, 3] → features [tokens, language.hidden].
  std::vector<float> encode(const uint8_t* pixels, const Probe& probe = {}) const;

  /// One row of the embedding: [language.hidden].
  std::vector<float> embed(int id) const;

  /// Feeds `rows` embedded rows [rows, hidden] after those already seen; → logits [rows, vocab]. Keys and values are kept in FP32.
  std::vector<float> append(const std::vector<float>& embedded, const Probe& probe = {});

  /// Forgets every row.
  void reset();

 private:
  const Config config_;
  const Weights weights_;
  int length_ = 0;
  std::vector<std::vector<float>> keys_, values_;  // per layer [length, hidden]
};

}  // namespace mipha
