// Picks one of a few candidates by their logits: the largest, or seeded temperature and top-p. The same seed and logits give the same picks
// everywhere.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/engine.h"

namespace mipha {

/// SplitMix64 (Steele, Lea, Flood 2014): one 64-bit word of state, so that a seed is all there is to know about a run.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  /// 53 bits in [0, 1).
  double uniform();

 private:
  uint64_t state_;
};

/// ln Σ exp(logit), in double, never overflowing. −infinity for no values.
double log_sum_exp(const std::vector<float>& logits);

class Sampler {
 public:
  explicit Sampler(const Sampling& sampling) : sampling_(sampling), random_(sampling.seed) {}

  /// Index of the choice. `logits` is not empty and finite; among equals the first one wins.
  int choose(const std::vector<float>& logits);

 private:
  Sampling sampling_;
  Random random_;
};

}  // namespace mipha
