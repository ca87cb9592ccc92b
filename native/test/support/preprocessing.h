// What the published checkpoints do to a picture, for models that tests make themselves.
#pragma once

#include "model/config.h"

namespace mipha::test {

/// SigLIP's numbers: (x / 255 − 0.5) / 0.5, and no crop.
inline Preprocessing siglip(int image_size, Aspect aspect = Aspect::kPad) {
  return {aspect, image_size, Filter::kBicubic, {127, 127, 127}, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}};
}

}  // namespace mipha::test
