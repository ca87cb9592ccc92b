// The end of a pooling projector, LDPv2 of MobileVLM V2 (arXiv 2402.03766). So small that every backend on the CPU runs these plain loops.
#pragma once

#include "model/config.h"
#include "model/weights.h"

namespace mipha {

/// Means of 2 × 2 neighbouring rows, plus a depthwise 3 × 3 convolution of those (zeros around the picture) and its bias.
/// in [vision.patches, language.hidden] → out [image_tokens, language.hidden], which must not overlap.
void pool_features(const Config& config, const Weights& weights, const float* in, float* out);

}  // namespace mipha
