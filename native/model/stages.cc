#include "model/stages.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/thread_pool.h"
#include "model/image.h"

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

/// LayerNorm of each row, variance around the mean. x [rows, columns].
Floats layer_norm(const Norm& norm, float epsilon, const Floats& x, int columns) {
  Floats y(x.size());
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
void gelu_tanh(Floats& x) {
  const float root = std::sqrt(2.0f / 3.14159265358979f);
  for (float& v : x) v = 0.5f * v * (1.0f + std::tanh(root * (v + 0.044715f * v * v * v)));
}

/// The exact form, of the projector.
void gelu_erf(Floats& x) {
  const float root = std::sqrt(0.5f);
  for (float& v : x) v = 0.5f * v * (1.0f + std::erf(v * root));
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

/// softmax(q · kᵀ / √head_size) · v for each head. q [rows, width]; keys, values [positions, width]; → [rows, width].
/// sees(r, i): whether row r looks at position i.
template <typename Sees>
Floats attend(const BlockConfig& config, const Floats& q, const Floats& keys, const Floats& values, ThreadPool* pool, Sees&& sees) {
  const int width = config.attention_width(), head_size = config.head_size;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_size));
  const int rows = static_cast<int>(q.size() / width), positions = static_cast<int>(keys.size() / width);
  Floats out(q.size(), 0.0f);
  each(pool, rows, [&](int r) {
    Floats scores(positions), scaled(head_size);
    for (int h = 0; h < config.heads; ++h) {
      const size_t at = static_cast<size_t>(h) * head_size;
      for (int d = 0; d < head_size; ++d) scaled[d] = q[static_cast<size_t>(r) * width + at + d] * scale;
      float largest = -std::numeric_limits<float>::infinity();
      for (int i = 0; i < positions; ++i) {
        if (!sees(r, i)) continue;
        scores[i] = dot(scaled.data(), keys.data() + static_cast<size_t>(i) * width + at, head_size);
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
        const float* value = values.data() + static_cast<size_t>(i) * width + at;
        for (int d = 0; d < head_size; ++d) mixed[d] += share * value[d];
      }
    }
  });
  return out;
}

/// x [rows, attention_width]: the first `rotary_dims` dims of each head, dim i paired with i + rotary_dims / 2.
void rotate(const BlockConfig& config, const Angles& angles, Floats& x) {
  const int half = config.rotary_dims / 2, width = config.attention_width(), rows = static_cast<int>(x.size() / width);
  for (int r = 0; r < rows; ++r) {
    for (int i = 0; i < half; ++i) {
      const float cosine = angles.cosine[static_cast<size_t>(r) * half + i], sine = angles.sine[static_cast<size_t>(r) * half + i];
      for (int h = 0; h < config.heads; ++h) {
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
  Floats cut(static_cast<size_t>(vision.tokens()) * vision.patch_values());
  patchify(config_, pixels, cut.data());
  Floats x = linear(weights_.patch_embedding, "vision.patch_embedding", std::move(cut), tap);
  for (size_t i = 0; i < x.size(); ++i) x[i] += weights_.position_embedding[i];
  return x;
}

/// One block over the new rows x [rows, hidden], in place.
void Stages::block(const BlockConfig& config, const BlockOf<Linear>& w, const BlockNames& names, int layer, Floats& x, const Sight& sight,
                   const Tap& tap) const {
  const bool parallel = config.residual == Residual::kParallel;
  const auto norm = [&](const Norm& by) { return layer_norm(by, config.epsilon, x, config.hidden); };
  const auto product = [&](const Linear& matrix, const char* name, Floats in) {
    return linear(matrix, names.layers + std::to_string(layer) + "." + name, std::move(in), tap);
  };

  const Floats normed = norm(w.norm1);
  const Floats qkv = product(w.qkv, names.qkv, normed);
  const int width = config.attention_width(), past = static_cast<int>(sight.keys.size()) / width;
  Floats q = slice(qkv, config.qkv_width(), 0, width), k = slice(qkv, config.qkv_width(), width, width);
  const Floats v = slice(qkv, config.qkv_width(), 2 * width, width);
  rotate(config, sight.angles, q);
  rotate(config, sight.angles, k);
  sight.keys.insert(sight.keys.end(), k.begin(), k.end());
  sight.values.insert(sight.values.end(), v.begin(), v.end());
  const size_t positions = sight.keys.size() / width;
  Floats mixed = attend(config, q, sight.keys, sight.values, pool_, [&](int r, int i) {
    if (sight.mask != nullptr) return sight.mask[r * positions + i] >= kHidden;
    return !config.causal || i <= past + r;
  });

  if (!parallel) add(x, product(w.out, names.out, std::move(mixed)));
  Floats inner = product(w.up, names.up, parallel ? normed : norm(w.norm2));
  gelu_tanh(inner);
  if (parallel) add(x, product(w.out, names.out, std::move(mixed)));
  add(x, product(w.down, names.down, std::move(inner)));
}

void Stages::vision_layer(int l, Floats& x, const Tap& tap) const {
  Floats keys, values;
  block(config_.vision, weights_.tower[l], kTowerNames, l, x, {{}, keys, values, nullptr}, tap);
}

Floats Stages::projector(Floats x, const Tap& tap) const {
  for (size_t i = 0; i < weights_.projector.size(); ++i) {
    if (i > 0) gelu_erf(x);
    x = linear(weights_.projector[i], "projector." + std::to_string(i), std::move(x), tap);
  }
  return x;
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
  block(config_.language, weights_.decoder[l], kDecoderNames, l, x, {angles, keys, values, mask}, tap);
}

Floats Stages::final_norm(const Floats& x) const {
  return layer_norm(weights_.final_norm, config_.language.epsilon, x, config_.language.hidden);
}

Floats Stages::head(const Floats& normed, const Tap& tap) const {
  return linear(weights_.head, "language.head", normed, tap);
}

}  // namespace mipha
