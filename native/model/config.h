// Sizes of one Mipha model. Read from the `architecture` section of a package's manifest.json, never guessed.
#pragma once

#include <array>
#include <cstdint>

namespace mipha {

/// SigLIP tower. `layers` is how many run (27 + 1 + select_layer for the published ones: 26), not how many exist.
struct VisionConfig {
  int image_size = 0;  // pixels per side: 224, 336, 384
  int patch_size = 0;  // pixels per side: 14, 16
  int hidden = 0;
  int intermediate = 0;
  int heads = 0;
  int layers = 0;
  float epsilon = 0;  // of every LayerNorm

  int grid() const { return image_size / patch_size; }  // pixels beyond grid * patch_size are never read
  int tokens() const { return grid() * grid(); }
  int head_size() const { return hidden / heads; }
  int patch_values() const { return 3 * patch_size * patch_size; }  // [channel][row][column]
};

/// Phi-2 / Phi-1.5.
struct LanguageConfig {
  int hidden = 0;
  int intermediate = 0;
  int layers = 0;
  int heads = 0;
  int rotary_dims = 0;  // leading dims of each head that are rotated; pair i with i + rotary_dims / 2
  int vocab = 0;        // rows of the embedding and of the head
  int tokens = 0;       // ids the tokenizer knows: rows from here on are padding and never a right answer
  int context = 0;      // positions, image tokens included
  float epsilon = 0;
  float rope_theta = 0;

  int head_size() const { return hidden / heads; }
};

/// How a picture becomes the tower's input: `preprocessing` of the manifest, the only place where these numbers stand.
struct Preprocessing {
  bool pad_to_square = true;           // aspect "pad": with `background`, before it is resized; "squash": each side is scaled on its own
  uint8_t background = 0;              // of all three channels
  std::array<float, 3> mean{}, std{};  // of red, green and blue in 0..1; std is above 0

  /// (value / 255 − mean) / std
  float normalized(int channel, uint8_t value) const { return static_cast<float>(value) / (255.0f * std[channel]) - mean[channel] / std[channel]; }
};

struct Config {
  VisionConfig vision;
  int projector_layers = 0;  // linear layers with an erf GELU between: 0 = identity, 1 = linear, 2 = mlp2x_gelu
  LanguageConfig language;
  Preprocessing preprocessing;
};

/// Throws kModelFormat naming the first field that is out of range or does not divide as it must.
void check(const Config& config);

}  // namespace mipha
