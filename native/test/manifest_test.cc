// manifest.json → Config → bound weights: what a package's text and tensors must be.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

#include "core/error.h"
#include "package/package.h"
#include "test/support/mutate.h"
#include "test/support/tiny_model.h"

namespace mipha {
namespace {

const std::string kManifest = R"({
  "version": 1, "source": {"name": "x"},
  "architecture": {
    "vision": {"imageSize": 384, "patchSize": 14, "hidden": 1152, "intermediate": 4304, "heads": 16, "kvHeads": 16, "headSize": 72,
               "norm": "layer", "epsilon": 1e-6, "activation": "gelu_tanh", "gated": false, "residual": "sequential", "layers": 26, "prefixRows": 0,
               "skippedRows": 0, "preNorm": false},
    "projector": {"layers": 2, "pooled": false},
    "language": {"hidden": 2560, "intermediate": 10240, "layers": 32, "heads": 32, "kvHeads": 32, "headSize": 80, "norm": "layer",
                 "activation": "gelu_tanh", "gated": false, "residual": "parallel", "rotaryDims": 32, "vocab": 51200, "tokens": 50295, "context": 2048,
                 "epsilon": 1e-5, "ropeTheta": 10000}
  },
  "preprocessing": {"aspect": "pad", "shortestSide": 392, "filter": "bicubic", "background": [122, 116, 104], "mean": [0.5, 0.25, 0.5], "std": [0.5, 0.5, 0.125]}
})";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kManifest;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& manifest) {
  try {
    parse_manifest(manifest);
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kModelFormat);
    return error.what();
  }
  return "accepted";
}

TEST(Manifest, ReadsThePublishedSizes) {
  const Config config = parse_manifest(kManifest).config;
  EXPECT_EQ(config.vision.image_size, 384);
  EXPECT_EQ(config.vision.patch_size, 14);
  EXPECT_EQ(config.image_tokens(), 729);
  EXPECT_EQ(config.vision.hidden, 1152);
  EXPECT_EQ(config.vision.intermediate, 4304);
  EXPECT_EQ(config.vision.head_size, 72);
  EXPECT_EQ(config.vision.layers, 26);
  EXPECT_EQ(config.vision.epsilon, 1e-6f);
  EXPECT_EQ(config.projector.layers, 2);
  EXPECT_EQ(config.language.hidden, 2560);
  EXPECT_EQ(config.language.intermediate, 10240);
  EXPECT_EQ(config.language.layers, 32);
  EXPECT_EQ(config.language.head_size, 80);
  EXPECT_EQ(config.language.rotary_dims, 32);
  EXPECT_EQ(config.language.vocab, 51200);
  EXPECT_EQ(config.language.tokens, 50295);
  EXPECT_EQ(config.language.context, 2048);
  EXPECT_EQ(config.language.epsilon, 1e-5f);
  EXPECT_EQ(config.language.rope_theta, 10000.0f);
  EXPECT_EQ(config.preprocessing.aspect, Aspect::kPad);
  EXPECT_EQ(config.preprocessing.shortest_side, 392);
  EXPECT_EQ(config.preprocessing.filter, Filter::kBicubic);
  EXPECT_EQ(config.preprocessing.background, (std::array<uint8_t, 3>{122, 116, 104}));
  EXPECT_EQ(config.preprocessing.mean, (std::array<float, 3>{0.5f, 0.25f, 0.5f}));
  EXPECT_EQ(config.preprocessing.std, (std::array<float, 3>{0.5f, 0.5f, 0.125f}));
  EXPECT_EQ(parse_manifest(replaced("\"pad\"", "\"squash\"")).config.preprocessing.aspect, Aspect::kSquash);
  EXPECT_EQ(parse_manifest(replaced("\"pad\"", "\"crop\"")).config.preprocessing.aspect, Aspect::kCrop);
  EXPECT_EQ(parse_manifest(replaced("\"bicubic\"", "\"bilinear\"")).config.preprocessing.filter, Filter::kBilinear);
}

TEST(Manifest, NamesTheFieldThatIsMissingOrOfTheWrongKind) {
  EXPECT_NE(refusal(replaced("\"rotaryDims\": 32, ", "")).find("architecture.language.rotaryDims is missing"), std::string::npos);
  EXPECT_NE(refusal(replaced("\"projector\": {\"layers\": 2, \"pooled\": false},", "")).find("architecture.projector is missing"), std::string::npos);
  EXPECT_NE(refusal(replaced("\"imageSize\": 384", "\"imageSize\": \"384\"")).find("architecture.vision.imageSize: expected"), std::string::npos);
  EXPECT_NE(refusal(replaced("\"imageSize\": 384", "\"imageSize\": 384.5")).find("architecture.vision.imageSize: expected"), std::string::npos);
  EXPECT_NE(refusal(replaced("\"epsilon\": 1e-5", "\"epsilon\": null")).find("architecture.language.epsilon: expected"), std::string::npos);
  EXPECT_NE(refusal(replaced("\"pad\"", "\"anyres\"")).find("preprocessing.aspect: expected \"pad\" or \"squash\" or \"crop\""), std::string::npos);
  EXPECT_NE(refusal(replaced("\"bicubic\"", "3")).find("preprocessing.filter: expected \"bicubic\" or \"bilinear\""), std::string::npos);
  EXPECT_NE(refusal("[]").find("expected an object"), std::string::npos);
}

TEST(Manifest, RefusesSizesThatCannotBe) {
  const std::pair<const char*, const char*> cases[] = {{"\"imageSize\": 384", "\"imageSize\": 0"},
                                                       {"\"imageSize\": 384", "\"imageSize\": 1000000"},
                                                       {"\"imageSize\": 384", "\"imageSize\": 13"},
                                                       {"\"imageSize\": 384", "\"imageSize\": 1024"},  // more image tokens than context
                                                       {"\"patchSize\": 14", "\"patchSize\": 0"},
                                                       {"\"headSize\": 72", "\"headSize\": 73"},
                                                       {"\"headSize\": 80", "\"headSize\": 0"},
                                                       {"\"headSize\": 80", "\"headSize\": 264"},  // 32 of them are wider than any model
                                                       {"\"kvHeads\": 32", "\"kvHeads\": 0"},
                                                       {"\"kvHeads\": 32", "\"kvHeads\": 33"},
                                                       {"\"kvHeads\": 32", "\"kvHeads\": 12"},
                                                       {"\"norm\": \"layer\"", "\"norm\": \"batch\""},
                                                       {"\"activation\": \"gelu_tanh\"", "\"activation\": \"relu\""},
                                                       {"\"residual\": \"parallel\"", "\"residual\": \"none\""},
                                                       {"\"gated\": false", "\"gated\": 0"},
                                                       {"\"prefixRows\": 0", "\"prefixRows\": 65"},
                                                       {"\"skippedRows\": 0", "\"skippedRows\": 65"},
                                                       {"\"preNorm\": false", "\"preNorm\": null"},
                                                       {"\"pooled\": false", "\"pooled\": true"},  // 27 × 27 patches
                                                       {"\"heads\": 16", "\"heads\": 0"},
                                                       {"\"heads\": 16", "\"heads\": 24"},  // 16 is no divisor
                                                       {"\"layers\": 26", "\"layers\": 0"},
                                                       {"\"epsilon\": 1e-6", "\"epsilon\": 0"},
                                                       {"\"epsilon\": 1e-6", "\"epsilon\": 1e300"},
                                                       {"\"layers\": 2, \"pooled\"", "\"layers\": 0, \"pooled\""},  // identity between unequal widths
                                                       {"\"layers\": 2, \"pooled\"", "\"layers\": 9, \"pooled\""},
                                                       {"\"rotaryDims\": 32", "\"rotaryDims\": 31"},
                                                       {"\"rotaryDims\": 32", "\"rotaryDims\": 82"},
                                                       {"\"vocab\": 51200", "\"vocab\": 50294"},  // fewer rows than tokens
                                                       {"\"vocab\": 51200", "\"vocab\": 1073741824"},
                                                       {"\"tokens\": 50295", "\"tokens\": 0"},
                                                       {"\"context\": 2048", "\"context\": 729"},
                                                       {"\"context\": 2048", "\"context\": 1000000"},
                                                       {"\"ropeTheta\": 10000", "\"ropeTheta\": 0"},
                                                       {"\"intermediate\": 10240", "\"intermediate\": 65537"},
                                                       {"\"intermediate\": 4304", "\"intermediate\": -1"}};
  for (const auto& [from, to] : cases) {
    const std::string message = refusal(replaced(from, to));
    EXPECT_NE(message.find("architecture."), std::string::npos) << to << ": " << message;
  }
}

TEST(Manifest, RefusesPicturesThatCannotBe) {
  const std::array<const char*, 3> cases[] = {
      {"\"shortestSide\": 392", "\"shortestSide\": 383", "shortestSide: expected at least vision.imageSize (384)"},
      {"\"shortestSide\": 392", "\"shortestSide\": 4097", "shortestSide: expected 1 to 4096, received 4097"},
      {"\"shortestSide\": 392", "\"shortestSide\": -1", "shortestSide: expected a whole number"},
      {"\"shortestSide\": 392, ", "", "shortestSide is missing"},
      {"[122, 116, 104]", "[122, 116, 256]", "background: expected three whole numbers from 0 to 255"},
      {"[122, 116, 104]", "[122, -1, 104]", "background: expected three whole numbers from 0 to 255"},
      {"[122, 116, 104]", "[122.5, 116, 104]", "background: expected three whole numbers from 0 to 255"},
      {"[122, 116, 104]", "[122, 116]", "background: expected three numbers"},
      {"[122, 116, 104]", "127", "background: expected three numbers"},
      {"0.125", "0", "std: expected numbers above 0"}};
  for (const auto& [from, to, expected] : cases) {
    const std::string message = refusal(replaced(from, to));
    EXPECT_NE(message.find(std::string("preprocessing.") + expected), std::string::npos) << to << ": " << message;
  }
}

TEST(Manifest, SurvivesDamage) {
  std::mt19937 random(20240918);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    try {
      parse_manifest(test::mutate(kManifest, &random));
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.code, Code::kModelFormat) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(accepted, 20);
  EXPECT_GT(refused, 3000);
}

// ---- bind ----

class Bind : public testing::Test {
 protected:
  const test::TinyModel model_;

  std::string refusal_with(const std::string& name, const Tensor* tensor) const {
    try {
      bind(model_.config(), [&](const std::string& asked) { return asked == name ? tensor : model_.tensor(asked); });
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kModelFormat);
      EXPECT_NE(std::string(error.what()).find("tensor " + name + ": expected"), std::string::npos) << error.what();
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Bind, FindsEveryTensorWithItsShape) {
  const Weights& weights = model_.weights();
  const Config& config = model_.config();
  ASSERT_EQ(weights.tower.size(), static_cast<size_t>(config.vision.layers));
  ASSERT_EQ(weights.decoder.size(), static_cast<size_t>(config.language.layers));
  ASSERT_EQ(weights.projector.size(), 2u);
  EXPECT_EQ(weights.projector[0].in, config.vision.hidden);
  EXPECT_EQ(weights.projector[1].in, config.language.hidden);
  EXPECT_EQ(weights.tower[1].up.weight, model_.tensor("vision.layers.1.up.weight")->data);
  EXPECT_EQ(weights.tower[1].norm2.gain, model_.tensor("vision.layers.1.norm2.weight")->data);
  EXPECT_EQ(weights.decoder[2].qkv.scale, model_.tensor("language.layers.2.qkv.scale")->data);
  EXPECT_EQ(weights.decoder[2].qkv.out, 3 * config.language.hidden);
  EXPECT_EQ(weights.embedding.bias, nullptr);
  EXPECT_EQ(weights.head.bias, model_.tensor("language.head.bias")->data);
  EXPECT_EQ(weights.final_norm.bias, model_.tensor("language.final_norm.bias")->data);
}

TEST_F(Bind, NamesWhatIsMissing) {
  for (const char* name : {"vision.patch_embedding.bias", "vision.position_embedding", "vision.layers.0.norm1.weight", "projector.1.scale",
                           "language.layers.1.out.weight", "language.final_norm.weight", "language.head.bias"}) {
    EXPECT_NE(refusal_with(name, nullptr).find("it is missing"), std::string::npos) << name;
  }
}

TEST_F(Bind, NamesWrongShapesAndTypes) {
  Tensor tensor = *model_.tensor("language.layers.0.down.weight");
  std::swap(tensor.shape[0], tensor.shape[1]);
  EXPECT_NE(refusal_with("language.layers.0.down.weight", &tensor).find("expected [160, 328], received [328, 160]"), std::string::npos);
  tensor = *model_.tensor("language.final_norm.bias");
  tensor.dtype = DType::kF16;
  EXPECT_NE(refusal_with("language.final_norm.bias", &tensor).find("expected type F32, received F16"), std::string::npos);
}

TEST_F(Bind, RefusesAScaleBesideAWideWeight) {
  const Tensor scale = *model_.tensor("language.final_norm.bias");
  EXPECT_NE(refusal_with("vision.patch_embedding.scale", &scale).find("beside a weight of type F16"), std::string::npos);
}

TEST_F(Bind, RefusesValuesThatAreNotNumbersAndNegativeScales) {
  const Tensor whole = *model_.tensor("language.layers.0.qkv.scale");
  const auto* const values = static_cast<const float*>(whole.data);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1.0f}) {
    std::vector<float> copy(values, values + whole.bytes / sizeof(float));
    copy[7] = bad;
    Tensor tensor = whole;
    tensor.data = copy.data();
    EXPECT_NE(refusal_with("language.layers.0.qkv.scale", &tensor).find("7"), std::string::npos);
  }
}

TEST(Manifest, ListsTheMatricesWhoseInputsStayWide) {
  EXPECT_TRUE(parse_manifest(kManifest).weight_only.empty());
  const std::string recipe =
      R"({"recipe":{"vision.layers.0.down":"w8a16","language.head":"w8a8","projector.0":"f16","language.layers.1.qkv":"w8a16"},)";
  EXPECT_EQ(parse_manifest(replaced("{", recipe)).weight_only, (std::set<std::string>{"language.layers.1.qkv", "vision.layers.0.down"}));
}

}  // namespace
}  // namespace mipha
