// The sizes that are measured: those of Mipha-3B, and small ones for a rehearsal.
#pragma once

#include "model/config.h"

namespace mipha::cuda::bench {

struct Sizes {
  const char *model, *decoder, *tower;  // names in the output
  Config config;
  int prompt_rows;  // a picture and 30 tokens
};

inline Sizes published() {
  Sizes sizes{"Mipha-3B", "Phi-2", "SigLIP", {}, 729 + 30};
  LanguageConfig& language = sizes.config.language;
  language.hidden = 2560, language.intermediate = 10240, language.heads = language.kv_heads = 32, language.head_size = 80;
  language.epsilon = 1e-5f, language.residual = Residual::kParallel, language.causal = true, language.rotary_dims = 32;
  language.rope_theta = 10000;
  language.layers = 32, language.vocab = 51200, language.tokens = 50295, language.context = 2048;
  VisionConfig& vision = sizes.config.vision;
  vision.hidden = 1152, vision.intermediate = 4304, vision.heads = vision.kv_heads = 16, vision.head_size = 72, vision.epsilon = 1e-6f;
  vision.image_size = 384, vision.patch_size = 14, vision.layers = 26;
  sizes.config.projector.layers = 2;
  sizes.config.preprocessing.shortest_side = 384;
  sizes.config.preprocessing.mean = sizes.config.preprocessing.std = {0.5f, 0.5f, 0.5f};
  return sizes;
}

/// Mipha-2.4B: the same tower before Gemma-2B (google/gemma-2b: config.json).
inline Sizes gemma() {
  Sizes sizes = published();
  sizes.model = "Mipha-2.4B", sizes.decoder = "Gemma-2B";
  LanguageConfig& language = sizes.config.language;
  language.hidden = 2048, language.intermediate = 16384, language.heads = 8, language.kv_heads = 1, language.head_size = language.rotary_dims = 256;
  language.norm = NormKind::kRms, language.gated = true, language.residual = Residual::kSequential, language.epsilon = 1e-6f;
  language.layers = 18, language.vocab = language.tokens = 256000;
  return sizes;
}

/// For the machine without a GPU: the same switches.
inline Sizes small() {
  Sizes sizes = published();
  sizes.model = "small model", sizes.decoder = "small decoder", sizes.tower = "small tower", sizes.prompt_rows = 70;
  LanguageConfig& language = sizes.config.language;
  language.hidden = 160, language.intermediate = 320, language.heads = language.kv_heads = 2, language.layers = 2, language.vocab = 512;
  language.tokens = 500, language.context = 128;
  VisionConfig& vision = sizes.config.vision;
  vision.hidden = 144, vision.intermediate = 216, vision.heads = vision.kv_heads = 2, vision.image_size = 112, vision.layers = 2;
  sizes.config.preprocessing.shortest_side = 112;
  return sizes;
}

}  // namespace mipha::cuda::bench
