// Sizes of one Mipha model. Read from the `architecture` section of a package's manifest.json, never guessed.
#pragma once

#include <array>
#include <cstdint>

#include "model/block.h"

namespace mipha {

/// The tower: blocks over a prefix of learned rows and the patches of a picture. `layers` is how many run (27 + 1 + select_layer for the published
/// ones: 26), not how many exist.
struct VisionConfig : BlockConfig {
  int image_size = 0;  // pixels per side: 224, 336, 384
  int patch_size = 0;  // pixels per side: 14, 16
  int layers = 0;
  int prefix_rows = 0;    // learned rows before those of the patches: class token, registers
  int skipped_rows = 0;   // leading rows that the projector does not see
  bool pre_norm = false;  // a norm before the first block: CLIP

  int grid() const { return image_size / patch_size; }  // pixels beyond grid * patch_size are never read
  int patches() const { return grid() * grid(); }
  int rows() const { return prefix_rows + patches(); }
  int selected_rows() const { return rows() - skipped_rows; }       // what the projector sees
  int patch_values() const { return 3 * patch_size * patch_size; }  // [channel][row][column]
};

/// Linear layers with an erf GELU between; 0: identity. `pooled`: then rows of 2 × 2 patches become one, with a depthwise convolution of their
/// neighbourhood added (LDPv2 of MobileVLM V2, arXiv 2402.03766).
struct ProjectorConfig {
  int layers = 0;
  bool pooled = false;
};

/// The decoder: blocks over the rows of a sequence.
struct LanguageConfig : BlockConfig {
  int layers = 0;
  int vocab = 0;    // rows of the embedding and of the head
  int tokens = 0;   // ids the tokenizer knows: rows from here on are padding and never a right answer
  int context = 0;  // positions, image tokens included
};

/// What becomes of a picture that is not square: a border makes it one, each side is scaled on its own, or it keeps its shape and loses its ends.
enum class Aspect { kPad, kSquash, kCrop };

enum class Filter { kBicubic, kBilinear };  // Pillow's, both stretched by the reduction

/// How a picture becomes the tower's input: `preprocessing` of the manifest, the only place where these numbers stand. Resized as `aspect` says
/// until its shorter side has `shortest_side` pixels; the tower sees the image_size × image_size in its middle.
struct Preprocessing {
  Aspect aspect = Aspect::kPad;
  int shortest_side = 0;  // pixels, image_size or more
  Filter filter = Filter::kBicubic;
  std::array<uint8_t, 3> background{};  // red, green and blue of the border
  std::array<float, 3> mean{}, std{};   // of red, green and blue in 0..1; std is above 0

  /// (value / 255 − mean) / std
  float normalized(int channel, uint8_t value) const { return static_cast<float>(value) / (255.0f * std[channel]) - mean[channel] / std[channel]; }
};

struct Config {
  VisionConfig vision;
  ProjectorConfig projector;
  LanguageConfig language;
  Preprocessing preprocessing;

  int image_tokens() const { return projector.pooled ? vision.patches() / 4 : vision.selected_rows(); }  // rows of a sequence that a picture takes
};

/// Throws kModelFormat naming the first field that is out of range or does not divide as it must.
void check(const Config& config);

}  // namespace mipha
