// How a picture is resized, worked out once and done by resize.cc or on a device: sizes, and which inputs weigh how much in which output.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/config.h"

namespace mipha {

constexpr int kFractionBits = 22;  // of a weight: 8 bits of pixel, 2 of headroom for the kernel's overshoot
constexpr int32_t kRoundingHalf = 1 << (kFractionBits - 1);

/// The inputs [first, first + count) of one output and their weights.
struct Taps {
  int first = 0;
  int count = 0;
  size_t weights = 0;  // where they start in Axis::weights

  int end() const { return first + count; }
};

struct Axis {
  std::vector<Taps> taps;        // of the outputs that are kept
  std::vector<int32_t> weights;  // all outputs one after the other

  /// What the inputs outside [from, to), all of them padding, weigh in an output.
  int32_t padding_weight(const Taps& of, int from, int to) const;
};

/// From a picture of width × height to the size × size in the middle of the resized one. Inputs of an axis count from the border's edge.
struct Resampling {
  int padded_width = 0, left = 0, top = 0;  // the picture begins at left, top within its border
  bool columns_first = false;
  Axis horizontal, vertical;
};

/// The sides are those of a picture that has passed check().
Resampling plan_resampling(int width, int height, int size, const Preprocessing& preprocessing);

}  // namespace mipha
