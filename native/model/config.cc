#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"

namespace mipha {
namespace {

// Above every published model, and low enough that the elements of any matrix of weights or activations can be counted in an int.
constexpr int kMaxImageSize = 2048;  // pixels per side
constexpr int kMaxShortestSide = 4096;
constexpr int kMaxPatchSize = 128;  // pixels per side
constexpr int kMaxHidden = 8192;
constexpr int kMaxHeads = 1024;
constexpr int kMaxHeadSize = 1024;
constexpr int kMaxIntermediate = 65536;  // depth at which an INT8 dot product still fits in int32
constexpr int kMaxLayers = 256;
constexpr int kMaxPrefixRows = 64;
constexpr int kMaxProjectorLayers = 8;
constexpr int kMaxVocab = (1 << 18) - 1;
constexpr int kMaxContext = (1 << 15) - 1;
constexpr int kHeadStep = 8;  // head sizes are multiples of this: what one vector of halves holds

[[noreturn]] void fail(const std::string& field, const std::string& expected, double received) {
  std::string number = std::to_string(received);
  if (received == std::trunc(received) && std::fabs(received) < 1e9) number = std::to_string(static_cast<int>(received));
  throw Error(Code::kModelFormat, field + ": expected " + expected + ", received " + number);
}

void range(const std::string& field, int value, int low, int high) {
  if (value < low || value > high) fail(field, std::to_string(low) + " to " + std::to_string(high), value);
}

void range(const std::string& field, float value, float low, float high) {
  if (!(value >= low && value <= high)) fail(field, std::to_string(low) + " to " + std::to_string(high), value);
}

void epsilon(const std::string& field, float value) {
  if (!(value > 0 && value <= 1)) fail(field, "above 0 and at most 1", value);
}

void check_block(const std::string& room, const BlockConfig& block) {
  range(room + ".hidden", block.hidden, 1, kMaxHidden);
  range(room + ".intermediate", block.intermediate, 1, kMaxIntermediate);
  range(room + ".heads", block.heads, 1, kMaxHeads);
  range(room + ".kvHeads", block.kv_heads, 1, block.heads);
  if (block.heads % block.kv_heads != 0) fail(room + ".kvHeads", "a divisor of heads (" + std::to_string(block.heads) + ")", block.kv_heads);
  range(room + ".headSize", block.head_size, kHeadStep, kMaxHeadSize);
  if (block.head_size % kHeadStep != 0) fail(room + ".headSize", "a multiple of " + std::to_string(kHeadStep), block.head_size);
  range(room + ": heads times headSize", block.attention_width(), 1, kMaxHidden);
  epsilon(room + ".epsilon", block.epsilon);
}

void check_vision(const VisionConfig& vision) {
  const std::string room = "architecture.vision";
  range(room + ".imageSize", vision.image_size, 1, kMaxImageSize);
  range(room + ".patchSize", vision.patch_size, 1, kMaxPatchSize);
  if (vision.patch_size > vision.image_size) fail(room + ".patchSize", "at most imageSize", vision.patch_size);
  check_block(room, vision);
  range(room + ".layers", vision.layers, 1, kMaxLayers);
  range(room + ".prefixRows", vision.prefix_rows, 0, kMaxPrefixRows);
  range(room + ".skippedRows", vision.skipped_rows, 0, std::min(kMaxPrefixRows, vision.rows() - 1));
}

void check_projector(const Config& config) {
  range("architecture.projector.layers", config.projector.layers, 0, kMaxProjectorLayers);
  if (config.projector.layers == 0 && config.vision.hidden != config.language.hidden) {
    fail("architecture.projector.layers", "at least 1, because vision.hidden and language.hidden differ", 0);
  }
  if (!config.projector.pooled) return;
  if (config.vision.grid() % 2 != 0)
    fail("architecture.projector.pooled", "false, because 2 × 2 patches do not divide the grid", config.vision.grid());
  if (config.vision.skipped_rows != config.vision.prefix_rows) {
    fail("architecture.vision.skippedRows", "prefixRows, because the projector pools the patches", config.vision.skipped_rows);
  }
}

void check_preprocessing(const Preprocessing& preprocessing, int image_size) {
  range("preprocessing.shortestSide", preprocessing.shortest_side, 1, kMaxShortestSide);
  if (preprocessing.shortest_side < image_size) {
    fail("preprocessing.shortestSide", "at least vision.imageSize (" + std::to_string(image_size) + ")", preprocessing.shortest_side);
  }
  for (const float std : preprocessing.std) {
    if (!(std > 0)) fail("preprocessing.std", "numbers above 0", std);
  }
}

void check_language(const LanguageConfig& language) {
  const std::string room = "architecture.language";
  check_block(room, language);
  range(room + ".layers", language.layers, 1, kMaxLayers);
  range(room + ".rotaryDims", language.rotary_dims, 0, language.head_size);
  if (language.rotary_dims % 2 != 0) fail(room + ".rotaryDims", "an even number", language.rotary_dims);
  range(room + ".vocab", language.vocab, 1, kMaxVocab);
  range(room + ".tokens", language.tokens, 1, language.vocab);
  range(room + ".context", language.context, 1, kMaxContext);
  range(room + ".ropeTheta", language.rope_theta, 1.0f, 1e12f);
}

}  // namespace

void check(const Config& config) {
  check_vision(config.vision);
  check_language(config.language);
  check_projector(config);
  if (config.image_tokens() >= config.language.context) {
    fail("architecture.language.context", "more than the " + std::to_string(config.image_tokens()) + " image tokens", config.language.context);
  }
  check_preprocessing(config.preprocessing, config.vision.image_size);
}

}  // namespace mipha
