#include "model/config.h"

#include <cmath>
#include <string>

#include "core/error.h"

namespace mipha {
namespace {

// Above every published model, and low enough that the elements of any matrix of weights or activations can be counted in an int.
constexpr int kMaxImageSize = 2048;  // pixels per side
constexpr int kMaxPatchSize = 128;   // pixels per side
constexpr int kMaxHidden = 8192;
constexpr int kMaxIntermediate = 65536;  // depth at which an INT8 dot product still fits in int32
constexpr int kMaxLayers = 256;
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

void heads(const std::string& room, int hidden, int heads) {
  range(room + ".heads", heads, 1, hidden);
  if (hidden % heads != 0) fail(room + ".heads", "a divisor of hidden (" + std::to_string(hidden) + ")", heads);
  if (hidden / heads % kHeadStep != 0) fail(room + ".heads", "heads whose size is a multiple of 8, not " + std::to_string(hidden / heads), heads);
}

void epsilon(const std::string& field, float value) {
  if (!(value > 0 && value <= 1)) fail(field, "above 0 and at most 1", value);
}

void check_vision(const VisionConfig& vision) {
  range("architecture.vision.imageSize", vision.image_size, 1, kMaxImageSize);
  range("architecture.vision.patchSize", vision.patch_size, 1, kMaxPatchSize);
  if (vision.patch_size > vision.image_size) fail("architecture.vision.patchSize", "at most imageSize", vision.patch_size);
  range("architecture.vision.hidden", vision.hidden, 1, kMaxHidden);
  range("architecture.vision.intermediate", vision.intermediate, 1, kMaxIntermediate);
  heads("architecture.vision", vision.hidden, vision.heads);
  range("architecture.vision.layers", vision.layers, 1, kMaxLayers);
  epsilon("architecture.vision.epsilon", vision.epsilon);
}

void check_language(const LanguageConfig& language) {
  range("architecture.language.hidden", language.hidden, 1, kMaxHidden);
  range("architecture.language.intermediate", language.intermediate, 1, kMaxIntermediate);
  heads("architecture.language", language.hidden, language.heads);
  range("architecture.language.layers", language.layers, 1, kMaxLayers);
  range("architecture.language.rotaryDims", language.rotary_dims, 0, language.head_size);
  if (language.rotary_dims % 2 != 0) fail("architecture.language.rotaryDims", "an even number", language.rotary_dims);
  range("architecture.language.vocab", language.vocab, 1, kMaxVocab);
  range("architecture.language.tokens", language.tokens, 1, language.vocab);
  range("architecture.language.context", language.context, 1, kMaxContext);
  epsilon("architecture.language.epsilon", language.epsilon);
  range("architecture.language.ropeTheta", language.rope_theta, 1.0f, 1e12f);
}

}  // namespace

void check(const Config& config) {
  for (int channel = 0; channel < 3; ++channel) {
    if (!(config.preprocessing.std[channel] > 0)) fail("preprocessing.std", "numbers above 0", config.preprocessing.std[channel]);
  }
  check_vision(config.vision);
  check_language(config.language);
  range("architecture.projector.layers", config.projector_layers, 0, kMaxProjectorLayers);
  if (config.projector_layers == 0 && config.vision.hidden != config.language.hidden) {
    fail("architecture.projector.layers", "at least 1, because vision.hidden and language.hidden differ", 0);
  }
  if (config.vision.tokens() >= config.language.context) {
    fail("architecture.language.context", "more than the " + std::to_string(config.vision.tokens()) + " image tokens", config.language.context);
  }
}

}  // namespace mipha
