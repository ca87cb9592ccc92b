// The whole model once more in double precision and by other formulas than native/model/stages.cc: what the reference is compared with.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/half.h"
#include "model/config.h"
#include "model/weights.h"

namespace mipha::test {

using Matrix = std::vector<std::vector<double>>;  // [rows][columns]

inline double weight(const Linear& linear, int o, int i) {
  const int at = o * linear.in + i;
  if (linear.dtype == DType::kI8) return static_cast<double>(static_cast<const int8_t*>(linear.weight)[at]) * linear.scale[o];
  if (linear.dtype == DType::kF16) return from_half(static_cast<const uint16_t*>(linear.weight)[at]);
  return static_cast<const float*>(linear.weight)[at];
}

inline Matrix product(const Linear& linear, const Matrix& x) {
  Matrix y(x.size(), std::vector<double>(linear.out));
  for (size_t r = 0; r < x.size(); ++r) {
    for (int i = linear.in - 1; i >= 0; i--) {
      for (int o = 0; o < linear.out; ++o) y[r][o] += weight(linear, o, i) * x[r][i];
    }
    for (int o = 0; o < linear.out; ++o) y[r][o] += linear.bias[o];
  }
  return y;
}

inline Matrix normed(const BlockConfig& config, const Norm& norm, Matrix x) {
  for (auto& row : x) {
    double sum = 0, squares = 0;
    for (const double v : row) sum += v, squares += v * v;
    const double mean = config.norm == NormKind::kLayer ? sum / row.size() : 0, variance = squares / row.size() - mean * mean;
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = (row[i] - mean) / std::sqrt(variance + config.epsilon) * norm.gain[i] + (norm.bias != nullptr ? norm.bias[i] : 0.0);
    }
  }
  return x;
}

inline double activated(Activation activation, double v) {
  const double sigmoid_of = activation == Activation::kQuickGelu ? 1.702 * v
                            : activation == Activation::kSilu    ? v
                                                                 : 2 * std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
  if (activation == Activation::kGeluErf) return v * std::erfc(-v / std::sqrt(2)) / 2;
  return v / (1 + std::exp(-sigmoid_of));
}

inline Matrix mlp(const BlockConfig& config, const BlockOf<Linear>& w, const Matrix& x) {
  Matrix inner = product(w.up, x);
  for (auto& row : inner) {
    for (int i = 0; i < config.intermediate; ++i) row[i] = activated(config.activation, row[i]) * (config.gated ? row[config.intermediate + i] : 1);
    row.resize(config.intermediate);
  }
  return product(w.down, inner);
}

inline Matrix sum(Matrix x, const Matrix& y) {
  for (size_t r = 0; r < x.size(); ++r) {
    for (size_t i = 0; i < x[r].size(); ++i) x[r][i] += y[r][i];
  }
  return x;
}

/// The rotation is a complex product of the pair (i, i + rotary_dims / 2).
inline Matrix attention(const BlockConfig& config, const Matrix& qkv) {
  const int size = config.head_size, rows = static_cast<int>(qkv.size()), rotary = config.rotary_dims;
  const auto head = [&](int r, int first, bool rotated) {
    std::vector<double> v(qkv[r].begin() + first, qkv[r].begin() + first + size);
    for (int i = 0; rotated && i < rotary / 2; ++i) {
      const double angle = r / std::pow(static_cast<double>(config.rope_theta), 2.0 * i / rotary);
      const double a = v[i], b = v[i + rotary / 2];
      v[i] = a * std::cos(angle) - b * std::sin(angle);
      v[i + rotary / 2] = a * std::sin(angle) + b * std::cos(angle);
    }
    return v;
  };
  Matrix out(rows, std::vector<double>(config.attention_width()));
  for (int h = 0; h < config.heads; ++h) {
    const int keys = config.attention_width() + h * config.kv_heads / config.heads * size, values = keys + config.kv_width();
    for (int r = 0; r < rows; ++r) {
      const auto q = head(r, h * size, true);
      double total = 0;
      for (int s = 0; s < (config.causal ? r + 1 : rows); ++s) {
        const auto k = head(s, keys, true), v = head(s, values, false);
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

inline Matrix block(const BlockConfig& config, const BlockOf<Linear>& w, const Matrix& x) {
  const Matrix mixed = product(w.out, attention(config, product(w.qkv, normed(config, w.norm1, x))));
  switch (config.residual) {
    case Residual::kSequential: {
      const Matrix y = sum(x, mixed);
      return sum(y, mlp(config, w, normed(config, w.norm2, y)));
    }
    case Residual::kParallel:
      return sum(x, sum(mixed, mlp(config, w, normed(config, w.norm1, x))));
    case Residual::kParallelTwoNorms:
      return sum(x, sum(mixed, mlp(config, w, normed(config, w.norm2, x))));
  }
  return x;
}

/// pixels uint8 [image_size, image_size, 3], normalized with mean and deviation of one half.
inline Matrix cut(const VisionConfig& vision, const std::vector<uint8_t>& pixels) {
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
  return patches;
}

/// Every 2 × 2 of the grid averaged; then y + bias + Σ kernel · neighbour, with nothing beyond the edges.
inline Matrix pooled(const Config& config, const Weights& weights, const Matrix& x) {
  const int grid = config.vision.grid(), half = grid / 2, width = config.language.hidden;
  const auto mean = [&](int top, int left, int i) {
    if (top < 0 || left < 0 || top >= half || left >= half) return 0.0;
    double total = 0;
    for (int cell = 0; cell < 4; ++cell) total += x[(2 * top + cell / 2) * grid + 2 * left + cell % 2][i];
    return total / 4;
  };
  Matrix out(half * half, std::vector<double>(width));
  for (int at = 0; at < half * half; ++at) {
    for (int i = 0; i < width; ++i) {
      out[at][i] = mean(at / half, at % half, i) + weights.pooling_bias[i];
      for (int tap = 0; tap < 9; ++tap) out[at][i] += weights.pooling[i * 9 + tap] * mean(at / half + tap / 3 - 1, at % half + tap % 3 - 1, i);
    }
  }
  return out;
}

struct Trace {
  std::map<std::string, Matrix> seen;
  Matrix logits;
};

inline Trace straightforward(const Config& config, const Weights& weights, const std::vector<uint8_t>& pixels, const std::vector<int>& before,
                             const std::vector<int>& after) {
  Trace trace;
  const VisionConfig& vision = config.vision;
  Matrix x;
  for (int p = 0; p < vision.prefix_rows; ++p) x.emplace_back(weights.prefix + p * vision.hidden, weights.prefix + (p + 1) * vision.hidden);
  for (auto& row : product(weights.patch_embedding, cut(vision, pixels))) {
    const int patch = static_cast<int>(x.size()) - vision.prefix_rows;
    for (int i = 0; i < vision.hidden; ++i) row[i] += weights.position_embedding[patch * vision.hidden + i];
    x.push_back(row);
  }
  if (vision.pre_norm) x = normed(vision, weights.pre_norm, x);
  trace.seen["tower.0"] = x;
  for (int l = 0; l < vision.layers; ++l) trace.seen["tower." + std::to_string(l + 1)] = x = block(vision, weights.tower[l], x);
  x.erase(x.begin(), x.begin() + vision.skipped_rows);
  for (size_t i = 0; i < weights.projector.size(); ++i) {
    for (auto& row : x) {
      for (double& v : row) v = i > 0 ? activated(Activation::kGeluErf, v) : v;
    }
    x = product(weights.projector[i], x);
  }
  if (config.projector.pooled) x = pooled(config, weights, x);
  trace.seen["features"] = x;

  const LanguageConfig& language = config.language;
  Matrix sequence;
  const auto embed = [&](int id) {
    auto& row = sequence.emplace_back();
    for (int i = 0; i < language.hidden; ++i) row.push_back(weight(weights.embedding, id, i));
  };
  for (const int id : before) embed(id);
  sequence.insert(sequence.end(), x.begin(), x.end());
  for (const int id : after) embed(id);
  trace.seen["language.0"] = sequence;
  for (int l = 0; l < language.layers; ++l) {
    sequence = block(language, weights.decoder[l], sequence);
    if (l == language.layers - 1) sequence = normed(language, weights.final_norm, sequence);
    trace.seen["language." + std::to_string(l + 1)] = sequence;
  }
  trace.logits = product(weights.head, sequence);
  return trace;
}

}  // namespace mipha::test
