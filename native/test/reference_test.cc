// The reference on tiny random weights against the same model written a second time: double precision, one number at a time, the whole
// sequence at once and no cache.
#include "model/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <random>

#include "core/error.h"
#include "core/half.h"
#include "support/straightforward.h"
#include "support/tiny_model.h"

namespace mipha {
namespace {

using test::Matrix;
using test::Trace;

/// Switches of one of the tiny models, and sizes so small that double precision in plain loops takes no time.
Config reference_config(Config config) {
  const auto smaller = [](BlockConfig& block, int hidden, int intermediate, int head_size) {
    block.hidden = hidden;
    block.intermediate = intermediate;
    block.rotary_dims = std::min(block.rotary_dims, head_size);
    block.head_size = head_size;
  };
  smaller(config.vision, 12, 22, 4);
  smaller(config.language, 20, 34, 10);
  config.vision.patch_size = 6;
  config.vision.image_size = config.projector.pooled ? 26 : 20;  // 9 or 16 patches; two pixel rows and columns are left over
  config.preprocessing = test::siglip(config.vision.image_size);
  config.language.rotary_dims = std::min(config.language.rotary_dims, 4);
  config.language.vocab = 29;
  config.language.tokens = 27;
  config.language.context = 32;
  return config;
}

Config tiny_config() {
  return reference_config(test::tiny_config());
}

/// Owns random weights of any stored type and hands out views.
class RandomWeights {
 public:
  RandomWeights(const Config& config, DType dtype, unsigned seed) : dtype_(dtype), random_(seed) {
    const VisionConfig& vision = config.vision;
    const LanguageConfig& language = config.language;
    weights.patch_embedding = linear(vision.hidden, vision.patch_values());
    weights.position_embedding = floats(vision.patches() * vision.hidden, 0, 1);
    if (vision.prefix_rows > 0) weights.prefix = floats(vision.prefix_rows * vision.hidden, 0, 1);
    if (vision.pre_norm) weights.pre_norm = norm(vision);
    for (int l = 0; l < vision.layers; ++l) {
      weights.tower.push_back(block(vision));
    }
    for (int i = 0; i < config.projector.layers; ++i) weights.projector.push_back(linear(language.hidden, i == 0 ? vision.hidden : language.hidden));
    if (config.projector.pooled) {
      weights.pooling = floats(language.hidden * 9, 0, 0.3f);
      weights.pooling_bias = floats(language.hidden, 0, 0.3f);
    }
    weights.embedding = linear(language.vocab, language.hidden);
    weights.embedding.bias = nullptr;
    for (int l = 0; l < language.layers; ++l) {
      weights.decoder.push_back(block(language));
    }
    weights.final_norm = norm(language);
    weights.head = linear(language.vocab, language.hidden);
  }

  Weights weights;

 private:
  const float* floats(int count, float mean, float deviation) {
    std::vector<float>& values = floats_.emplace_back(count);
    std::normal_distribution<float> normal(mean, deviation);
    for (float& value : values) value = normal(random_);
    return values.data();
  }

  Norm norm(const BlockConfig& block) {
    return {floats(block.hidden, 1, 0.3f), block.norm == NormKind::kLayer ? floats(block.hidden, 0, 0.3f) : nullptr};
  }

  BlockOf<Linear> block(const BlockConfig& config) {
    const int width = config.attention_width();
    const Norm norm1 = norm(config);
    const Linear qkv = linear(config.qkv_width(), config.hidden), out = linear(config.hidden, width);
    const Norm norm2 = config.has_norm2() ? norm(config) : Norm{};
    const Linear up = linear(config.up_width(), config.hidden), down = linear(config.hidden, config.intermediate);
    return {norm1, qkv, out, norm2, up, down};
  }

  Linear linear(int out, int in) {
    const int count = out * in;
    const float* values = floats(count, 0, 1.5f / std::sqrt(static_cast<float>(in)));
    Linear linear{dtype_, values, nullptr, floats(out, 0, 0.3f), out, in};
    if (dtype_ == DType::kF16) {
      std::vector<uint16_t>& halves = halves_.emplace_back();
      for (int i = 0; i < count; ++i) halves.push_back(to_half(values[i]));
      linear.weight = halves.data();
    } else if (dtype_ == DType::kI8) {
      std::vector<int8_t>& bytes = bytes_.emplace_back();
      for (int i = 0; i < count; ++i) bytes.push_back(static_cast<int8_t>(std::lround(std::fmax(-127, std::fmin(127, values[i] * 60)))));
      std::vector<float>& scale = floats_.emplace_back();
      for (int o = 0; o < out; ++o) scale.push_back((1 + 0.1f * (o % 7)) / 60);
      linear.weight = bytes.data();
      linear.scale = scale.data();
    }
    return linear;
  }

  const DType dtype_;
  std::mt19937 random_;
  std::deque<std::vector<float>> floats_;
  std::deque<std::vector<uint16_t>> halves_;
  std::deque<std::vector<int8_t>> bytes_;
};

/// max |x − y| / max |y|
double relative_error(const float* x, const Matrix& y) {
  double worst = 0, largest = 0;
  for (const auto& row : y) {
    for (const double v : row) {
      worst = std::max(worst, std::abs(*x++ - v));
      largest = std::max(largest, std::abs(v));
    }
  }
  return worst / largest;
}

std::vector<uint8_t> random_pixels(const VisionConfig& config) {
  std::vector<uint8_t> pixels(config.image_size * config.image_size * 3);
  std::mt19937 random(5);
  for (uint8_t& pixel : pixels) pixel = static_cast<uint8_t>(random());
  return pixels;
}

std::vector<float> embedded(const Reference& reference, const std::vector<int>& before, const std::vector<float>& features,
                            const std::vector<int>& after) {
  std::vector<float> rows;
  const auto put = [&](const std::vector<float>& row) { rows.insert(rows.end(), row.begin(), row.end()); };
  for (const int id : before) put(reference.embed(id));
  put(features);
  for (const int id : after) put(reference.embed(id));
  return rows;
}

void expect_the_straightforward_formula(const Config& config, DType dtype) {
  const RandomWeights random(config, dtype, 11);
  const auto pixels = random_pixels(config.vision);
  const std::vector<int> before = {3, 28, 0, 3}, after = {7, 1, 19};
  const Trace expected = test::straightforward(config, random.weights, pixels, before, after);

  Reference reference(config, random.weights);
  size_t probes = 0;
  const Probe probe = [&](const std::string& name, const float* data, int rows, int columns) {
    probes++;
    ASSERT_TRUE(expected.seen.count(name)) << name;
    const Matrix& matrix = expected.seen.at(name);
    ASSERT_EQ(rows, static_cast<int>(matrix.size())) << name;
    ASSERT_EQ(columns, static_cast<int>(matrix[0].size())) << name;
    EXPECT_LT(relative_error(data, matrix), 1e-5) << name;
  };
  const auto features = reference.encode(pixels.data(), probe);
  const auto logits = reference.append(embedded(reference, before, features, after), probe);
  EXPECT_EQ(probes, expected.seen.size());
  ASSERT_EQ(logits.size(), expected.logits.size() * config.language.vocab);
  EXPECT_LT(relative_error(logits.data(), expected.logits), 1e-5);
}

TEST(Reference, AgreesWithTheStraightforwardFormulaForEveryStoredType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kI8}) expect_the_straightforward_formula(tiny_config(), dtype);
}

TEST(Reference, AgreesWithTheStraightforwardFormulaForEverySwitch) {
  for (const auto& [name, config] : test::tiny_configs()) {
    SCOPED_TRACE(name);
    expect_the_straightforward_formula(reference_config(config), DType::kF32);
  }
}

TEST(Reference, ChunksGiveTheSameAsOneAppend) {
  const Config config = tiny_config();
  const RandomWeights random(config, DType::kF32, 12);
  Reference reference(config, random.weights);
  std::vector<int> ids;
  for (int i = 0; i < 17; ++i) ids.push_back(i * 5 % config.language.vocab);
  const auto rows = embedded(reference, ids, {}, {});
  const auto whole = reference.append(rows);

  reference.reset();
  std::vector<float> chunked;
  const int hidden = config.language.hidden;
  int first = 0;
  for (const int count : {1, 6, 0, 2, 8}) {
    const auto logits = reference.append({rows.begin() + first * hidden, rows.begin() + (first + count) * hidden});
    chunked.insert(chunked.end(), logits.begin(), logits.end());
    first += count;
  }
  EXPECT_EQ(chunked, whole);  // bit for bit: each row is computed in the same order
}

TEST(Stages, AMaskSaysWhatEachRowSees) {
  const test::TinyModel model;
  const Stages stages(model.config(), model.weights());
  const int hidden = model.config().language.hidden, rows = 5;
  Floats x(static_cast<size_t>(rows) * hidden);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  const Angles at = angles(model.config().language, 0, rows);

  // Floats 1, 2 and rows 3, 4 are two continuations of row 0: each equals the run without the other.
  Floats both = x, keys, values;
  Angles forked = at;
  const int half = model.config().language.rotary_dims / 2;
  std::copy_n(at.cosine.begin() + half, 2 * half, forked.cosine.begin() + 3 * half);
  std::copy_n(at.sine.begin() + half, 2 * half, forked.sine.begin() + 3 * half);
  const float no = -60000;
  const std::vector<float> mask = {0, no, no, no, no, 0, 0, no, no, no, 0, 0, 0, no, no, 0, no, no, 0, no, 0, no, no, 0, 0};
  stages.language_layer(1, both, forked, keys, values, mask.data());
  for (const int first : {1, 3}) {
    Floats alone(x.begin(), x.begin() + hidden), alone_keys, alone_values;
    alone.insert(alone.end(), x.begin() + static_cast<size_t>(first) * hidden, x.begin() + static_cast<size_t>(first + 2) * hidden);
    stages.language_layer(1, alone, angles(model.config().language, 0, 3), alone_keys, alone_values);
    EXPECT_TRUE(std::equal(alone.begin() + hidden, alone.end(), both.begin() + static_cast<size_t>(first) * hidden)) << first;
  }
}

TEST(Stages, ATapSeesEveryProductOnceAndMayChangeItsInput) {
  const test::TinyModel model;
  const Stages stages(model.config(), model.weights());
  std::vector<std::string> seen;
  Floats x(2 * static_cast<size_t>(model.config().language.hidden), 0.5f), keys, values;
  stages.language_layer(2, x, angles(model.config().language, 0, 2), keys, values, nullptr,
                        [&](const std::string& matrix, float* data, int rows, int columns) {
                          seen.push_back(matrix);
                          EXPECT_EQ(rows, 2);
                          if (matrix == "language.layers.2.down") std::fill_n(data, static_cast<size_t>(rows) * columns, 0.0f);
                        });
  EXPECT_EQ(seen, (std::vector<std::string>{"language.layers.2.qkv", "language.layers.2.up", "language.layers.2.out", "language.layers.2.down"}));
  Floats untouched(2 * static_cast<size_t>(model.config().language.hidden), 0.5f), k, v;
  stages.language_layer(2, untouched, angles(model.config().language, 0, 2), k, v);
  EXPECT_NE(x, untouched);
  EXPECT_EQ(keys, k);
}

TEST(Reference, AProbeThatThrowsLeavesTheSequenceAsItWas) {
  const Config config = tiny_config();
  const RandomWeights random(config, DType::kF32, 13);
  Reference reference(config, random.weights);
  const auto first = embedded(reference, {1, 2, 3}, {}, {}), second = embedded(reference, {4, 5}, {}, {});
  reference.append(first);
  const auto expected = reference.append(second);

  for (const std::string last : {"language.0", "language.2", "language.3"}) {
    reference.reset();
    reference.append(first);
    const Probe failing = [&](const std::string& name, const float*, int, int) {
      if (name == last) throw Error(Code::kInternal, "seen enough");
    };
    EXPECT_THROW(reference.append(embedded(reference, {6, 7, 8}, {}, {}), failing), Error);
    EXPECT_EQ(reference.append(second), expected) << last;
  }
}

TEST(Reference, RefusesWhatDoesNotFit) {
  const Config config = tiny_config();
  const RandomWeights random(config, DType::kF32, 14);
  Reference reference(config, random.weights);
  EXPECT_THROW(reference.embed(-1), Error);
  EXPECT_THROW(reference.embed(config.language.vocab), Error);
  EXPECT_THROW(reference.append(std::vector<float>(config.language.hidden + 1)), Error);

  reference.append(std::vector<float>(30 * config.language.hidden, 0.5f));
  try {
    reference.append(std::vector<float>(3 * config.language.hidden, 0.5f));
    FAIL() << "33 rows fitted into a context of 32";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kContextFull);
    EXPECT_EQ(error.details, (Error::Details{{"neededTokens", 33}, {"availableTokens", 32}}));
  }
  EXPECT_NO_THROW(reference.append(std::vector<float>(2 * config.language.hidden, 0.5f)));
}

}  // namespace
}  // namespace mipha
