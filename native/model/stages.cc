#include "model/stages.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "model/image.h"
#include "model/pooling.h"

namespace mipha {
namespace {

constexpr float kHidden = -1e4f;  // a mask below this hides
constexpr int kOutputs = 8;       // outputs taken together: a row of inputs is read from memory once for all of them

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

/// body(0) … body(count − 1), divided among the pool's threads if there are any.
template <typename Body>
void each(ThreadPool* pool, int count, Body&& body) {
  if (pool != nullptr) return pool->each(count, [&](int index, int) { body(index); });
  for (int i = 0; i < count; ++i) body(i);
}

/// Each row of x [rows, config.hidden] on its own.
Floats normalize(const BlockConfig& config, const Norm& norm, const Floats& x) {
  const int columns = config.hidden;
  Floats y(x.size());
  for (size_t first = 0; first < x.size(); first += columns) {
    double mean = 0, squares = 0;
    if (config.norm == NormKind::kLayer) {
      for (int i = 0; i < columns; ++i) mean += x[first + i];
      mean /= columns;
    }
    for (int i = 0; i < columns; ++i) squares += (x[first + i] - mean) * (x[first + i] - mean);
    const double inverse = 1.0 / std::sqrt(squares / columns + config.epsilon);
    for (int i = 0; i < columns; ++i) {
      const float bias = norm.bias != nullptr ? norm.bias[i] : 0.0f;
      y[first + i] = static_cast<float>((x[first + i] - mean) * inverse) * norm.gain[i] + bias;
    }
  }
  return y;
}

float activated(Activation activation, float v) {
  static const float tanh_root = std::sqrt(2.0f / 3.14159265358979f), erf_root = std::sqrt(0.5f);
  switch (activation) {
    case Activation::kGeluTanh:
      return 0.5f * v * (1.0f + std::tanh(tanh_root * (v + 0.044715f * v * v * v)));
    case Activation::kGeluErf:
      return 0.5f * v * (1.0f + std::erf(v * erf_root));
    case Activation::kQuickGelu:
      return v / (1.0f + std::exp(-1.702f * v));
    case Activation::kSilu:
      return v / (1.0f + std::exp(-v));
  }
  return v;
}

/// What goes into `down`: x [rows, up_width] → [rows, intermediate].
Floats activate(const BlockConfig& config, const Floats& x) {
  const int wide = config.up_width(), rows = static_cast<int>(x.size() / wide);
  Floats y(static_cast<size_t>(rows) * config.intermediate);
  for (int r = 0; r < rows; ++r) {
    const float* const row = x.data() + static_cast<size_t>(r) * wide;
    for (int i = 0; i < config.intermediate; ++i) {
      const float v = activated(config.activation, row[i]);
      y[static_cast<size_t>(r) * config.intermediate + i] = config.gated ? v * row[config.intermediate + i] : v;
    }
  }
  return y;
}

void add(Floats& x, const Floats& y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

/// Columns [first, first + width) of x [rows, columns].
Floats slice(const Floats& x, int columns, int first, int width) {
  Floats out;
  out.reserve(x.size() / columns * width);
  for (size_t row = 0; row < x.size(); row += columns) {
    const auto begin = x.begin() + static_cast<std::ptrdiff_t>(row) + first;
    out.insert(out.end(), begin, begin + width);
  }
  return out;
}

/// softmax(q · kᵀ / √head_size) · v for each head. q [rows, attention_width]; keys, values [positions, kv_width]; → [rows, attention_width].
/// sees(r, i): whether row r looks at position i.
template <typename Sees>
Floats attend(const BlockConfig& config, const Floats& q, const Floats& keys, const Floats& values, ThreadPool* pool, Sees&& sees) {
  const int width = config.attention_width(), kv_width = config.kv_width(), head_size = config.head_size;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_size));
  const int rows = static_cast<int>(q.size() / width), positions = static_cast<int>(keys.size() / kv_width);
  Floats out(q.size(), 0.0f);
  each(pool, rows, [&](int r) {
    Floats scores(positions), scaled(head_size);
    for (int h = 0; h < config.heads; ++h) {
      const size_t at = static_cast<size_t>(h) * head_size, kv_at = static_cast<size_t>(h / (config.heads / config.kv_heads)) * head_size;
      for (int d = 0; d < head_size; ++d) scaled[d] = q[static_cast<size_t>(r) * width + at + d] * scale;
      float largest = -std::numeric_limits<float>::infinity();
      for (int i = 0; i < positions; ++i) {
        if (!sees(r, i)) continue;
        scores[i] = dot(scaled.data(), keys.data() + static_cast<size_t>(i) * kv_width + kv_at, head_size);
        largest = std::max(largest, scores[i]);
      }
      float sum = 0;
      for (int i = 0; i < positions; ++i) {
        if (sees(r, i)) sum += scores[i] = std::exp(scores[i] - largest);
      }
      float* mixed = out.data() + static_cast<size_t>(r) * width + at;
      for (int i = 0; i < positions; ++i) {
        if (!sees(r, i)) continue;
        const float share = scores[i] / sum;
        const float* value = values.data() + static_cast<size_t>(i) * kv_width + kv_at;
        for (int d = 0; d < head_size; ++d) mixed[d] += share * value[d];
      }
    }
  });
  return out;
}

/// x [rows, heads * head_size]: the first `rotary_dims` dims of each head, dim i paired with i + rotary_dims / 2.
void rotate(const BlockConfig& config, const Angles& angles, int heads, Floats& x) {
  const int half = config.rotary_dims / 2, width = heads * config.head_size, rows = static_cast<int>(x.size() / width);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < half; ++i) {
      const float cosine = angles.cosine[static_cast<size_t>(r) * half + i], sine = angles.sine[static_cast<size_t>(r) * half + i];
      for (int h = 0; h < heads; ++h) {
        float* head = x.data() + static_cast<size_t>(r) * width + static_cast<size_t>(h) * config.head_size;
        const float a = head[i], b = head[i + half];
        head[i] = a * cosine - b * sine;
        head[i + half] = b * cosine + a * sine;
      }
    }
  }
}

}  // namespace

Angles angles(const BlockConfig& config, int first, int rows) {
  const int half = config.rotary_dims / 2;
  Angles out;
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < half; ++i) {
      const double frequency = std::pow(static_cast<double>(config.rope_theta), -2.0 * i / config.rotary_dims);
      out.cosine.push_back(static_cast<float>(std::cos((first + r) * frequency)));
      out.sine.push_back(static_cast<float>(std::sin((first + r) * frequency)));
    }
  }
  return out;
}

/// x [rows, in] → x · Wᵀ + b, [rows, out].
Floats Stages::linear(const Linear& w, const std::string& name, Floats x, const Tap& tap) const {
  const size_t rows = x.size() / w.in;
  if (w.smooth != nullptr) {
    for (size_t r = 0; r < rows; ++r) {
      for (int i = 0; i < w.in; ++i) x[r * w.in + i] *= w.smooth[i];
    }
  }
  if (tap) tap(name, x.data(), static_cast<int>(rows), w.in);
  Floats y(rows * w.out);
  each(pool_, (w.out + kOutputs - 1) / kOutputs, [&](int tile) {
    const int first = tile * kOutputs, count = std::min(kOutputs, w.out - first);
    Floats weight(static_cast<size_t>(count) * w.in);
    for (int o = 0; o < count; ++o) read_row(w, first + o, weight.data() + static_cast<size_t>(o) * w.in);
    for (size_t r = 0; r < rows; ++r) {
      for (int o = 0; o < count; ++o) {
        const float bias = w.bias != nullptr ? w.bias[first + o] : 0.0f;
        y[r * w.out + first + o] = dot(x.data() + r * w.in, weight.data() + static_cast<size_t>(o) * w.in, w.in) + bias;
      }
    }
  });
  return y;
}

Floats Stages::patches(const uint8_t* pixels, const Tap& tap) const {
  const VisionConfig& vision = config_.vision;
  Floats cut(static_cast<size_t>(vision.patches()) * vision.patch_values());
  patchify(config_, pixels, cut.data());
  const Floats embedded = linear(weights_.patch_embedding, "vision.patch_embedding", std::move(cut), tap);
  Floats x(weights_.prefix, weights_.prefix + static_cast<size_t>(vision.prefix_rows) * vision.hidden);
  for (size_t i = 0; i < embedded.size(); ++i) x.push_back(embedded[i] + weights_.position_embedding[i]);
  return vision.pre_norm ? normalize(vision, weights_.pre_norm, x) : x;
}

/// One block over the new rows x [rows, hidden], in place.
void Stages::block(const BlockConfig& config, const BlockOf<Linear>& w, const std::string& name, Floats& x, const Sight& sight,
                   const Tap& tap) const {
  const auto product = [&](const Linear& matrix, const char* part, Floats in) { return linear(matrix, name + part, std::move(in), tap); };

  const Floats normed = normalize(config, w.norm1, x);
  const Floats qkv = product(w.qkv, ".qkv", normed);
  const int width = config.attention_width(), kv_width = config.kv_width(), past = static_cast<int>(sight.keys.size()) / kv_width;
  Floats q = slice(qkv, config.qkv_width(), 0, width), k = slice(qkv, config.qkv_width(), width, kv_width);
  const Floats v = slice(qkv, config.qkv_width(), width + kv_width, kv_width);
  rotate(config, sight.angles, config.heads, q);
  rotate(config, sight.angles, config.kv_heads, k);
  sight.keys.insert(sight.keys.end(), k.begin(), k.end());
  sight.values.insert(sight.values.end(), v.begin(), v.end());
  const size_t positions = sight.keys.size() / kv_width;
  Floats mixed = attend(config, q, sight.keys, sight.values, pool_, [&](int r, int i) {
    if (sight.mask != nullptr) return sight.mask[r * positions + i] >= kHidden;
    return !config.causal || i <= past + r;
  });

  if (!config.parallel()) add(x, product(w.out, ".out", std::move(mixed)));
  Floats inner = activate(config, product(w.up, ".up", config.has_norm2() ? normalize(config, w.norm2, x) : normed));
  if (config.parallel()) add(x, product(w.out, ".out", std::move(mixed)));
  add(x, product(w.down, ".down", std::move(inner)));
}

void Stages::vision_layer(int l, Floats& x, const Tap& tap) const {
  Floats keys, values;
  block(config_.vision, weights_.tower[l], layer_name("vision", l), x, {{}, keys, values, nullptr}, tap);
}

Floats Stages::projector(Floats x, const Tap& tap) const {
  x.erase(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(config_.vision.skipped_rows) * config_.vision.hidden);
  for (size_t i = 0; i < weights_.projector.size(); ++i) {
    if (i > 0) {
      for (float& v : x) v = activated(Activation::kGeluErf, v);
    }
    x = linear(weights_.projector[i], "projector." + std::to_string(i), std::move(x), tap);
  }
  if (!config_.projector.pooled) return x;
  Floats pooled(static_cast<size_t>(config_.image_tokens()) * config_.language.hidden);
  pool_features(config_, weights_, x.data(), pooled.data());
  return pooled;
}

Floats Stages::embed(int id) const {
  if (id < 0 || id >= config_.language.vocab) {
    throw Error(Code::kOption, "token id " + std::to_string(id) + ": expected 0.." + std::to_string(config_.language.vocab - 1));
  }
  Floats row(config_.language.hidden);
  read_row(weights_.embedding, id, row.data());
  return row;
}

void Stages::language_layer(int l, Floats& x, const Angles& angles, Floats& keys, Floats& values, const float* mask, const Tap& tap) const {
  block(config_.language, weights_.decoder[l], layer_name("language", l), x, {angles, keys, values, mask}, tap);
}

Floats Stages::final_norm(const Floats& x) const {
  return normalize(config_.language, weights_.final_norm, x);
}

Floats Stages::head(const Floats& normed, const Tap& tap) const {
  return linear(weights_.head, "language.head", normed, tap);
}

}  // namespace mipha
