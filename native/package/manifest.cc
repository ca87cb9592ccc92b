// manifest.json → Manifest. Only the sections that the native code lives by are read; the whole manifest is validated where it is written and loaded.
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "core/error.h"
#include "model/config.h"
#include "package/json.h"
#include "package/package.h"

namespace mipha {
namespace {

/// One object of the manifest, with its path for messages.
class Section {
 public:
  Section(const Json* object, std::string path) : object_(object), path_(std::move(path)) {}

  Section section(const char* key) const {
    const Json& value = at(key);
    if (value.kind != Json::Kind::kObject) fail(key, "an object");
    return {&value, path_ + key + "."};
  }

  int integer(const char* key) const {
    const Json& value = at(key);
    if (!value.is_integer() || value.number < 0 || value.number > 0x1p30) fail(key, "a whole number");
    return static_cast<int>(value.number);
  }

  float number(const char* key) const {
    const Json& value = at(key);
    if (value.kind != Json::Kind::kNumber || std::fabs(value.number) > 0x1p100) fail(key, "a number");
    return static_cast<float>(value.number);
  }

  std::array<float, 3> three(const char* key) const {
    const Json& value = at(key);
    std::array<float, 3> numbers{};
    if (value.kind != Json::Kind::kArray || value.items.size() != numbers.size()) fail(key, "three numbers");
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (value.items[i].kind != Json::Kind::kNumber || std::fabs(value.items[i].number) > 1e6) fail(key, "three numbers");
      numbers[i] = static_cast<float>(value.items[i].number);
    }
    return numbers;
  }

  bool boolean(const char* key) const {
    const Json& value = at(key);
    if (value.kind != Json::Kind::kBoolean) fail(key, "true or false");
    return value.boolean;
  }

  std::array<uint8_t, 3> three_bytes(const char* key) const {
    const std::array<float, 3> numbers = three(key);
    std::array<uint8_t, 3> bytes{};
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (!(numbers[i] >= 0 && numbers[i] <= 255) || numbers[i] != std::floor(numbers[i])) fail(key, "three whole numbers from 0 to 255");
      bytes[i] = static_cast<uint8_t>(numbers[i]);
    }
    return bytes;
  }

  /// The value whose name the manifest has.
  template <typename Value>
  Value one_of(const char* key, std::initializer_list<std::pair<const char*, Value>> names) const {
    const Json& value = at(key);
    std::string expected;
    for (const auto& [name, meant] : names) {
      if (value.kind == Json::Kind::kString && value.string == name) return meant;
      expected += (expected.empty() ? "\"" : " or \"") + std::string(name) + "\"";
    }
    fail(key, expected.c_str());
  }

  [[noreturn]] void fail(const char* key, const char* expected) const {
    throw Error(Code::kModelFormat, "manifest.json: " + path_ + key + ": expected " + expected);
  }

 private:
  const Json& at(const char* key) const {
    const Json* const value = object_->find(key);
    if (value == nullptr) throw Error(Code::kModelFormat, "manifest.json: " + path_ + key + " is missing");
    return *value;
  }

  const Json* object_;
  std::string path_;
};

/// The switches and sizes that tower and decoder both have.
BlockConfig block(const Section& section) {
  BlockConfig block;
  block.hidden = section.integer("hidden");
  block.intermediate = section.integer("intermediate");
  block.heads = section.integer("heads");
  block.kv_heads = section.integer("kvHeads");
  block.head_size = section.integer("headSize");
  block.norm = section.one_of<NormKind>("norm", {{"layer", NormKind::kLayer}, {"rms", NormKind::kRms}});
  block.epsilon = section.number("epsilon");
  block.activation = section.one_of<Activation>("activation", {{"gelu_tanh", Activation::kGeluTanh},
                                                               {"gelu_erf", Activation::kGeluErf},
                                                               {"quick_gelu", Activation::kQuickGelu},
                                                               {"silu", Activation::kSilu}});
  block.gated = section.boolean("gated");
  block.residual = section.one_of<Residual>(
      "residual", {{"sequential", Residual::kSequential}, {"parallel", Residual::kParallel}, {"parallel_two_norms", Residual::kParallelTwoNorms}});
  return block;
}

Config read_config(const Section& manifest) {
  const Section architecture = manifest.section("architecture");
  Config config;

  const Section vision = architecture.section("vision");
  config.vision.image_size = vision.integer("imageSize");
  config.vision.patch_size = vision.integer("patchSize");
  config.vision.layers = vision.integer("layers");
  config.vision.prefix_rows = vision.integer("prefixRows");
  config.vision.skipped_rows = vision.integer("skippedRows");
  config.vision.pre_norm = vision.boolean("preNorm");
  static_cast<BlockConfig&>(config.vision) = block(vision);

  const Section projector = architecture.section("projector");
  config.projector.layers = projector.integer("layers");
  config.projector.pooled = projector.boolean("pooled");

  const Section language = architecture.section("language");
  static_cast<BlockConfig&>(config.language) = block(language);
  config.language.causal = true;
  config.language.rotary_dims = language.integer("rotaryDims");
  config.language.rope_theta = language.number("ropeTheta");
  config.language.layers = language.integer("layers");
  config.language.vocab = language.integer("vocab");
  config.language.tokens = language.integer("tokens");
  config.language.context = language.integer("context");

  const Section preprocessing = manifest.section("preprocessing");
  config.preprocessing.aspect = preprocessing.one_of<Aspect>("aspect", {{"pad", Aspect::kPad}, {"squash", Aspect::kSquash}, {"crop", Aspect::kCrop}});
  config.preprocessing.shortest_side = preprocessing.integer("shortestSide");
  config.preprocessing.filter = preprocessing.one_of<Filter>("filter", {{"bicubic", Filter::kBicubic}, {"bilinear", Filter::kBilinear}});
  config.preprocessing.background = preprocessing.three_bytes("background");
  config.preprocessing.mean = preprocessing.three("mean");
  config.preprocessing.std = preprocessing.three("std");

  check(config);
  return config;
}

std::set<std::string> read_weight_only(const Json& document) {
  std::set<std::string> weight_only;
  const Json* const recipe = document.find("recipe");
  if (recipe == nullptr) return weight_only;
  for (const auto& [matrix, precision] : recipe->members) {
    if (precision.string == "w8a16") weight_only.insert(matrix);
  }
  return weight_only;
}

}  // namespace

Manifest parse_manifest(const std::string& json) {
  const Json document = parse_json(json, "manifest.json");
  if (document.kind != Json::Kind::kObject) throw Error(Code::kModelFormat, "manifest.json: expected an object");
  return {read_config({&document, ""}), read_weight_only(document)};
}

}  // namespace mipha
