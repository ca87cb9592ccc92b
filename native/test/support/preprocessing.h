// What the published checkpoints do to a picture, for models that tests make themselves.
#pragma once

#include "model/config.h"

namespace mipha::test {

/// SigLIP's numbers: (x / 255 − 0.5) / 0.5.
inline Preprocessing siglip(bool pad_to_square = true) {
  return {pad_to_square, 127, {0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f}};
}

}  // namespace mipha::test
