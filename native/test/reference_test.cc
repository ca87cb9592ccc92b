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
#include "support/tiny_model.h"

namespace mipha {
namespace {

using Matrix = std::vector<std::vector<double>>;  // [rows][columns]

Config tiny_config() {
  Config config;
  config.vision = {siglip_block(12, 22, 3, 1e-6f), 20, 6, 2};  // 9 patches; two pixel rows and columns are left over
  config.projector_layers = 2;
  config.preprocessing = test::siglip();
  config.language = {phi_block(20, 34, 2, 1e-5f, 4, 10000), 3, 29, 27, 32};
  return config;
}

/// Owns random weights of any stored type and hands out views.
class RandomWeights {
 public:
  RandomWeights(const Config& config, DType dtype, unsigned seed) : dtype_(dtype), random_(seed) {
    const VisionConfig& vision = config.vision;
    const LanguageConfig& language = config.language;
    weights.patch_embedding = linear(vision.hidden, vision.patch_values());
    weights.position_embedding = floats(vision.tokens() * vision.hidden, 0, 1);
    for (int l = 0; l < vision.layers; ++l) {
      weights.tower.push_back(block(vision));
    }
    weights.projector = {linear(language.hidden, vision.hidden), linear(language.hidden, language.hidden)};
    weights.embedding = linear(language.vocab, language.hidden);
    weights.embedding.bias = nullptr;
    for (int l = 0; l < language.layers; ++l) {
      weights.decoder.push_back(block(language));
    }
    weights.final_norm = norm(language.hidden);
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

  Norm norm(int count) { return {floats(count, 1, 0.3f), floats(count, 0, 0.3f)}; }

  BlockOf<Linear> block(const BlockConfig& config) {
    const int width = config.attention_width();
    const Norm norm1 = norm(config.hidden);
    const Linear qkv = linear(config.qkv_width(), config.hidden), out = linear(config.hidden, width);
    const Norm norm2 = config.residual == Residual::kSequential ? norm(config.hidden) : Norm{};
    const Linear up = linear(config.intermediate, config.hidden), down = linear(config.hidden, config.intermediate);
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

double weight(const Linear& linear, int o, int i) {
  const int at = o * linear.in + i;
  if (linear.dtype == DType::kI8) return static_cast<double>(static_cast<const int8_t*>(linear.weight)[at]) * linear.scale[o];
  if (linear.dtype == DType::kF16) return from_half(static_cast<const uint16_t*>(linear.weight)[at]);
  return static_cast<const float*>(linear.weight)[at];
}

Matrix product(const Linear& linear, const Matrix& x) {
  Matrix y(x.size(), std::vector<double>(linear.out));
  for (size_t r = 0; r < x.size(); ++r) {
    for (int i = linear.in - 1; i >= 0; i--) {
      for (int o = 0; o < linear.out; ++o) y[r][o] += weight(linear, o, i) * x[r][i];
    }
    for (int o = 0; o < linear.out; ++o) y[r][o] += linear.bias[o];
  }
  return y;
}

Matrix layer_norm(const Norm& norm, double epsilon, Matrix x) {
  for (auto& row : x) {
    double sum = 0, squares = 0;
    for (const double v : row) sum += v, squares += v * v;
    const double mean = sum / row.size(), variance = squares / row.size() - mean * mean;
    for (size_t i = 0; i < row.size(); ++i) row[i] = (row[i] - mean) / std::sqrt(variance + epsilon) * norm.gain[i] + norm.bias[i];
  }
  return x;
}

template <typename Function>
Matrix map(Matrix x, Function&& function) {
  for (auto& row : x) {
    for (double& v : row) v = function(v);
  }
  return x;
}

double tanh_gelu(double v) {
  return v / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
}
double erf_gelu(double v) {
  return v * std::erfc(-v / std::sqrt(2)) / 2;
}

Matrix sum(Matrix x, const Matrix& y) {
  for (size_t r = 0; r < x.size(); ++r) {
    for (size_t i = 0; i < x[r].size(); ++i) x[r][i] += y[r][i];
  }
  return x;
}

/// rotary 0: no positions and no mask. The rotation is a complex product of the pair (i, i + rotary / 2).
Matrix attention(const Matrix& qkv, int hidden, int heads, int rotary, double theta) {
  const int size = hidden / heads, rows = static_cast<int>(qkv.size());
  const auto head = [&](int r, int part, int h) {
    std::vector<double> v(qkv[r].begin() + part * hidden + h * size, qkv[r].begin() + part * hidden + (h + 1) * size);
    for (int i = 0; part < 2 && i < rotary / 2; ++i) {
      const double angle = r / std::pow(theta, 2.0 * i / rotary);
      const double a = v[i], b = v[i + rotary / 2];
      v[i] = a * std::cos(angle) - b * std::sin(angle);
      v[i + rotary / 2] = a * std::sin(angle) + b * std::cos(angle);
    }
    return v;
  };
  Matrix out(rows, std::vector<double>(hidden));
  for (int h = 0; h < heads; ++h) {
    for (int r = 0; r < rows; ++r) {
      const auto q = head(r, 0, h);
      double total = 0;
      for (int s = 0; s < (rotary > 0 ? r + 1 : rows); ++s) {
        const auto k = head(s, 1, h), v = head(s, 2, h);
        double score = 0;
        for (int d = 0; d < size; ++d) score += q[d] * k[d];
        const double share = std::exp(score / std::sqrt(size));
        total += share;
        for (int d = 0; d < size; ++d) out[r][h * size + d] += share * v[d];
      }
      for (int d = 0; d < size; ++d) out[r][h * size + d] /= total;
    }
  }
  return out;
}

struct Trace {
  std::map<std::string, Matrix> seen;
  Matrix logits;
};

Trace straightforward(const Config& config, const Weights& weights, const std::vector<uint8_t>& pixels, const std::vector<int>& before,
                      const std::vector<int>& after) {
  Trace trace;
  const VisionConfig& vision = config.vision;
  Matrix patches;
  for (int top = 0; top + vision.patch_size <= vision.image_size; top += vision.patch_size) {
    for (int left = 0; left + vision.patch_size <= vision.image_size; left += vision.patch_size) {
      auto& patch = patches.emplace_back();
      for (int c = 0; c < 3; ++c) {
        for (int y = top; y < top + vision.patch_size; ++y) {
          for (int x = left; x < left + vision.patch_size; ++x) patch.push_back((pixels[(y * vision.image_size + x) * 3 + c] / 255.0 - 0.5) / 0.5);
        }
      }
    }
  }
  Matrix x = product(weights.patch_embedding, patches);
  for (int t = 0; t < vision.tokens(); ++t) {
    for (int i = 0; i < vision.hidden; ++i) x[t][i] += weights.position_embedding[t * vision.hidden + i];
  }
  trace.seen["tower.0"] = x;
  for (int l = 0; l < vision.layers; ++l) {
    const BlockOf<Linear>& layer = weights.tower[l];
    x = sum(x, product(layer.out, attention(product(layer.qkv, layer_norm(layer.norm1, vision.epsilon, x)), vision.hidden, vision.heads, 0, 0)));
    x = sum(x, product(layer.down, map(product(layer.up, layer_norm(layer.norm2, vision.epsilon, x)), tanh_gelu)));
    trace.seen["tower." + std::to_string(l + 1)] = x;
  }
  const Matrix features = product(weights.projector[1], map(product(weights.projector[0], x), erf_gelu));
  trace.seen["features"] = features;

  const LanguageConfig& language = config.language;
  Matrix sequence;
  const auto embed = [&](int id) {
    auto& row = sequence.emplace_back();
    for (int i = 0; i < language.hidden; ++i) row.push_back(weight(weights.embedding, id, i));
  };
  for (const int id : before) embed(id);
  sequence.insert(sequence.end(), features.begin(), features.end());
  for (const int id : after) embed(id);
  trace.seen["language.0"] = sequence;
  for (int l = 0; l < language.layers; ++l) {
    const BlockOf<Linear>& layer = weights.decoder[l];
    const Matrix normed = layer_norm(layer.norm1, language.epsilon, sequence);
    const Matrix mixed = attention(product(layer.qkv, normed), language.hidden, language.heads, language.rotary_dims, language.rope_theta);
    const Matrix inner = map(product(layer.up, normed), tanh_gelu);
    sequence = sum(sequence, sum(product(layer.out, mixed), product(layer.down, inner)));
    if (l == language.layers - 1) sequence = layer_norm(weights.final_norm, language.epsilon, sequence);
    trace.seen["language." + std::to_string(l + 1)] = sequence;
  }
  trace.logits = product(weights.head, sequence);
  return trace;
}

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

class ReferenceTypes : public testing::TestWithParam<DType> {};

TEST_P(ReferenceTypes, AgreesWithTheStraightforwardFormula) {
  const Config config = tiny_config();
  const RandomWeights random(config, GetParam(), 11);
  const auto pixels = random_pixels(config.vision);
  const std::vector<int> before = {3, 28, 0, 3}, after = {7, 1, 19};
  const Trace expected = straightforward(config, random.weights, pixels, before, after);

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

INSTANTIATE_TEST_SUITE_P(, ReferenceTypes, testing::Values(DType::kF32, DType::kF16, DType::kI8));

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
                          if (matrix == "language.layers.2.fc2") std::fill_n(data, static_cast<size_t>(rows) * columns, 0.0f);
                        });
  EXPECT_EQ(seen, (std::vector<std::string>{"language.layers.2.qkv", "language.layers.2.fc1", "language.layers.2.dense", "language.layers.2.fc2"}));
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
