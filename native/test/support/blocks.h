// Blocks of published models, and one of each switch that they do not have.
#pragma once

#include "model/block.h"

namespace mipha::test {

/// SigLIP's block (arXiv 2303.15343).
inline BlockConfig siglip_block(int hidden, int intermediate, int heads, float epsilon) {
  BlockConfig block;
  block.hidden = hidden;
  block.intermediate = intermediate;
  block.heads = block.kv_heads = heads;
  block.head_size = heads > 0 ? hidden / heads : 0;
  block.epsilon = epsilon;
  return block;
}

/// The block of Phi-1.5 and Phi-2.
inline BlockConfig phi_block(int hidden, int intermediate, int heads, float epsilon, int rotary_dims, float rope_theta) {
  BlockConfig block = siglip_block(hidden, intermediate, heads, epsilon);
  block.residual = Residual::kParallel;
  block.causal = true;
  block.rotary_dims = rotary_dims;
  block.rope_theta = rope_theta;
  return block;
}

}  // namespace mipha::test
