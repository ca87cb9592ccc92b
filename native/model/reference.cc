#include "model/reference.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/half.h"
#include "model/image.h"

namespace mipha {
namespace {

using Rows = std::vector<float>;  // [rows, columns], row-major; every function below says which

/// Row `o` of W as f32: out [in].
void weight_row(const Linear& w, int o, float* out) {
  const size_t first = static_cast<size_t>(o) * w.in;
  switch (w.dtype) {
    case DType::kI8:
      for (int i = 0; i < w.in; ++i) out[i] = static_cast<float>(static_cast<const int8_t*>(w.weight)[first + i]) * w.scale[o];
      break;
    case DType::kF16:
      for (int i = 0; i < w.in; ++i) out[i] = from_half(static_cast<const uint16_t*>(w.weight)[first + i]);
      break;
    case DType::kF32:
      std::copy_n(static_cast<const float*>(w.weight) + first, w.in, out);
      break;
  }
}

/// Σ a·b in sixteen partial sums: the compiler may then use vector registers without changing the order of additions.
float dot(const float* a, const float* b, int count) {
  constexpr int kLanes = 16;
  float sums[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) sums[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (; i < count; ++i) sum += a[i] * b[i];
  for (const float lane : sums) sum += lane;
  return sum;
}

/// x [rows, in] → x · Wᵀ + b, [rows, out].
Rows linear(const Linear& w, const Rows& x) {
  const size_t rows = x.size() / w.in;
  Rows y(rows * w.out), weight(w.in);
  for (int o = 0; o < w.out; ++o) {
    weight_row(w, o, weight.data());
    const float bias = w.bias != nullptr ? w.bias[o] : 0.0f;
    for (size_t r = 0; r < rows; ++r) y[r * w.out + o] = dot(x.data() + r * w.in, weight.data(), w.in) + bias;
  }
  return y;
}

/// LayerNorm of each row, variance around the mean. x [rows, columns].
Rows normalize(const Norm& norm, float epsilon, const Rows& x, int columns) {
  Rows y(x.size());
  for (size_t first = 0; first < x.size(); first += columns) {
    double mean = 0, variance = 0;
    for (int i = 0; i < columns; ++i) mean += x[first + i];
    mean /= columns;
    for (int i = 0; i < columns; ++i) variance += (x[first + i] - mean) * (x[first + i] - mean);
    const double inverse = 1.0 / std::sqrt(variance / columns + epsilon);
    for (int i = 0; i < columns; ++i) y[first + i] = static_cast<float>((x[first + i] - mean) * inverse) * norm.gain[i] + norm.bias[i];
  }
  return y;
}

/// The tanh approximation, of the tower and of Phi ("gelu_new", "gelu_pytorch_tanh").
void gelu_tanh(Rows& x) {
  const float root = std::sqrt(2.0f / 3.14159265358979f);
  for (float& v : x) v = 0.5f * v * (1.0f + std::tanh(root * (v + 0.044715f * v * v * v)));
}

/// The exact form, of the projector.
void gelu_erf(Rows& x) {
  const float root = std::sqrt(0.5f);
  for (float& v : x) v = 0.5f * v * (1.0f + std::erf(v * root));
}

void add(Rows& x, const Rows& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// Splits [rows, 3 * hidden] into its third `part`: 0 = q, 1 = k, 2 = v.
Rows third(const Rows& qkv, int hidden, int part) {
  Rows out;
  out.reserve(qkv.size() / 3);
  for (size_t first = 0; first < qkv.size(); first += static_cast<size_t>(3) * hidden) {
    const auto begin = qkv.begin() + first + static_cast<size_t>(part) * hidden;
    out.insert(out.end(), begin, begin + hidden);
  }
  return out;
}

/// softmax(q · kᵀ / √head_size) · v for each head. q [rows, hidden]; keys, values [≥ visible, hidden]; → [rows, hidden].
/// Row r sees the first visible(r) keys.
template <typename Visible>
Rows attend(const Rows& q, const Rows& keys, const Rows& values, int hidden, int heads, Visible&& visible) {
  const int head_size = hidden / heads;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_size));
  const int rows = static_cast<int>(q.size() / hidden);
  Rows out(q.size(), 0.0f), scores(keys.size() / hidden), scaled(head_size);
  for (int r = 0; r < rows; ++r) {
    const int count = visible(r);
    for (int h = 0; h < heads; ++h) {
      const size_t at = static_cast<size_t>(h) * head_size;
      for (int d = 0; d < head_size; ++d) scaled[d] = q[static_cast<size_t>(r) * hidden + at + d] * scale;
      for (int i = 0; i < count; ++i) scores[i] = dot(scaled.data(), keys.data() + static_cast<size_t>(i) * hidden + at, head_size);

      const float largest = *std::max_element(scores.begin(), scores.begin() + count);
      float sum = 0;
      for (int i = 0; i < count; ++i) sum += scores[i] = std::exp(scores[i] - largest);

      float* mixed = out.data() + static_cast<size_t>(r) * hidden + at;
      for (int i = 0; i < count; ++i) {
        const float share = scores[i] / sum;
        const float* value = values.data() + static_cast<size_t>(i) * hidden + at;
        for (int d = 0; d < head_size; ++d) mixed[d] += share * value[d];
      }
    }
  }
  return out;
}

/// Rotary positions (RoFormer, arXiv 2104.09864) on the first `rotary` dims of each head, dim i paired with i + rotary / 2.
/// x [rows, hidden]; row r is at `position` + r.
void rotate(const LanguageConfig& config, Rows& x, int position) {
  const int half = config.rotary / 2, rows = static_cast<int>(x.size() / config.hidden);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < half; ++i) {
      const double frequency = std::pow(static_cast<double>(config.rope_theta), -2.0 * i / config.rotary);
      const float cosine = static_cast<float>(std::cos((position + r) * frequency)), sine = static_cast<float>(std::sin((position + r) * frequency));
      for (int h = 0; h < config.heads; ++h) {
        float* head = x.data() + static_cast<size_t>(r) * config.hidden + static_cast<size_t>(h) * config.head_size();
        const float a = head[i], b = head[i + half];
        head[i] = a * cosine - b * sine;
        head[i + half] = b * cosine + a * sine;
      }
    }
  }
}

void show(const Probe& probe, const std::string& name, const Rows& x, int columns) {
  if (probe) probe(name, x.data(), static_cast<int>(x.size() / columns), columns);
}

}  // namespace

Reference::Reference(const Config& config, const Weights& weights) : config_(config), weights_(weights) {
  reset();
}

std::vector<float> Reference::encode(const uint8_t* pixels, const Probe& probe) const {
  const VisionConfig& vision = config_.vision;
  Rows patches(static_cast<size_t>(vision.tokens()) * vision.patch_values());
  patchify(vision, pixels, patches.data());

  Rows x = linear(weights_.patch_embedding, patches);
  for (size_t i = 0; i < x.size(); ++i) x[i] += weights_.position_embedding[i];
  show(probe, "tower.0", x, vision.hidden);

  for (int l = 0; l < vision.layers; ++l) {
    const VisionLayer& layer = weights_.vision[l];
    const Rows qkv = linear(layer.qkv, normalize(layer.norm1, vision.epsilon, x, vision.hidden));
    const Rows mixed = attend(third(qkv, vision.hidden, 0), third(qkv, vision.hidden, 1), third(qkv, vision.hidden, 2), vision.hidden, vision.heads,
                              [&](int) { return vision.tokens(); });
    add(x, linear(layer.out, mixed));

    Rows inner = linear(layer.fc1, normalize(layer.norm2, vision.epsilon, x, vision.hidden));
    gelu_tanh(inner);
    add(x, linear(layer.fc2, inner));
    show(probe, "tower." + std::to_string(l + 1), x, vision.hidden);
  }

  for (size_t l = 0; l < weights_.projector.size(); ++l) {
    if (l > 0) gelu_erf(x);
    x = linear(weights_.projector[l], x);
  }
  show(probe, "features", x, config_.language.hidden);
  return x;
}

std::vector<float> Reference::embed(int id) const {
  if (id < 0 || id >= config_.language.vocab) {
    throw Error(Code::kOption, "token id " + std::to_string(id) + ": expected 0.." + std::to_string(config_.language.vocab - 1));
  }
  Rows row(config_.language.hidden);
  weight_row(weights_.embedding, id, row.data());
  return row;
}

std::vector<float> Reference::append(const std::vector<float>& embedded, const Probe& probe) {
  const LanguageConfig& language = config_.language;
  const int hidden = language.hidden, rows = static_cast<int>(embedded.size() / hidden);
  if (embedded.size() % hidden != 0) {
    throw Error(Code::kInternal, std::to_string(embedded.size()) + " values are no whole rows of " + std::to_string(hidden));
  }
  if (length_ + rows > language.context) {
    throw Error(Code::kContextFull,
                std::to_string(rows) + " rows after " + std::to_string(length_) + " exceed the context of " + std::to_string(language.context),
                {{"neededTokens", length_ + rows}, {"availableTokens", language.context}});
  }

  Rows x = embedded;
  show(probe, "language.0", x, hidden);
  for (int l = 0; l < language.layers; ++l) {
    const LanguageLayer& layer = weights_.language[l];
    const Rows normed = normalize(layer.norm, language.epsilon, x, hidden);

    const Rows qkv = linear(layer.qkv, normed);
    Rows q = third(qkv, hidden, 0), k = third(qkv, hidden, 1);
    const Rows v = third(qkv, hidden, 2);
    const size_t seen = static_cast<size_t>(length_) * hidden;
    keys_[l].resize(seen);  // a probe that threw may have left rows of an unfinished append
    values_[l].resize(seen);
    rotate(language, q, length_);
    rotate(language, k, length_);
    keys_[l].insert(keys_[l].end(), k.begin(), k.end());
    values_[l].insert(values_[l].end(), v.begin(), v.end());
    const Rows mixed = attend(q, keys_[l], values_[l], hidden, language.heads, [&](int r) { return length_ + r + 1; });

    Rows inner = linear(layer.fc1, normed);
    gelu_tanh(inner);

    add(x, linear(layer.dense, mixed));
    add(x, linear(layer.fc2, inner));
    if (l + 1 < language.layers) show(probe, "language." + std::to_string(l + 1), x, hidden);
  }
  x = normalize(weights_.final_norm, language.epsilon, x, hidden);
  show(probe, "language." + std::to_string(language.layers), x, hidden);
  Rows logits = linear(weights_.head, x);
  length_ += rows;
  return logits;
}

void Reference::reset() {
  length_ = 0;
  keys_.assign(config_.language.layers, {});
  values_.assign(config_.language.layers, {});
}

}  // namespace mipha
