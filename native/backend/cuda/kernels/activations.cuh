// Activations in FP32 (model/block.h). Three of the four are x · σ(z) with z = x · (linear + cubic · x²); for GELU's tanh form, ½ (1 + tanh u) =
// σ(2u).
#pragma once

#include "model/block.h"

namespace mipha::cuda {

struct Sigmoid {
  float linear, cubic;

  static Sigmoid of(Activation activation) {
    constexpr float kTwiceRoot = 2 * 0.797884561f;  // √(2 / π)
    if (activation == Activation::kGeluTanh) return {kTwiceRoot, kTwiceRoot * 0.044715f};
    return {activation == Activation::kQuickGelu ? 1.702f : 1.0f, 0};
  }
  /// Within 2⁻²⁰ of x, relative while the result is not tiny. The square stays finite, so that 0 · x² is 0.
  __device__ float operator()(float x) const {
    const float z = x * fmaf(cubic, fminf(x * x, 3e38f), linear);
    return __fdividef(x, 1.0f + __expf(-z));
  }
};

struct ErfGelu {
  __device__ float operator()(float x) const { return 0.5f * x * (1.0f + erff(x * 0.707106781f)); }
};

}  // namespace mipha::cuda
