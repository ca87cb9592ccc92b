#include "backend/cpu/forward.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/half.h"

namespace mipha::cpu {
namespace {

int padded(int width) {
  return (width + kDepthStep - 1) / kDepthStep * kDepthStep;
}

}  // namespace

Forward::Forward(Arena& arena, const Package& package, PackedWeights& weights, const CacheBlocks& cache, int threads, int max_rows)
    : config_(package.config()),
      tensors_(package.weights()),
      weights_(weights),
      cache_(cache),
      max_rows_(max_rows),
      tower_cache_(arena, 1, (config_.vision.tokens() + kBlockRows - 1) / kBlockRows, config_.vision.heads, config_.vision.head_size()),
      tower_attention_(arena, threads, config_.vision.head_size(), config_.vision.tokens()),
      attention_(arena, threads, config_.language.head_size(), config_.language.context) {
  for (int block = 0; block < tower_cache_.blocks(); ++block) tower_blocks_.push_back(block);
  const VisionConfig& vision = config_.vision;
  const LanguageConfig& language = config_.language;
  const size_t rows = std::max(max_rows, vision.tokens());
  const size_t width = std::max({vision.hidden, language.hidden, vision.patch_values()});
  const size_t wide = std::max(vision.intermediate, language.intermediate);
  x_ = arena.take<float>(rows * width);
  normed_ = arena.take<float>(rows * width);
  qkv_ = arena.take<float>(rows * 3 * std::max(vision.hidden, language.hidden));
  attended_ = arena.take<float>(rows * width);
  hidden_ = arena.take<float>(rows * wide);
  q8_ = arena.take<int8_t>(rows * padded(static_cast<int>(std::max(width, wide))));
  q8_scale_ = arena.take<float>(rows);
  features_ = arena.take<float>(static_cast<size_t>(vision.tokens()) * language.hidden);
  const size_t angles = static_cast<size_t>(language.context) * (language.rotary_dims / 2);
  cosine_ = arena.take<float>(angles);
  sine_ = arena.take<float>(angles);
}

void Forward::prepare() {
  const int half = config_.language.rotary_dims / 2;
  for (int position = 0; position < config_.language.context; ++position) {
    for (int i = 0; i < half; ++i) {
      const double frequency = std::pow(static_cast<double>(config_.language.rope_theta), -static_cast<double>(i) / half);
      cosine_[position * half + i] = static_cast<float>(std::cos(position * frequency));
      sine_[position * half + i] = static_cast<float>(std::sin(position * frequency));
    }
  }
}

void Forward::show(const char* prefix, int index, const float* data, int rows, int columns) const {
  if (probe_) probe_(index < 0 ? prefix : std::string(prefix) + "." + std::to_string(index), data, rows, columns);
}

bool Forward::encode(const Team& team, const uint8_t* pixels, const Cancelled& cancelled) {
  const VisionConfig& c = config_.vision;
  const int tokens = c.tokens(), width = c.hidden;
  const auto linear = [&](const PackedLinear& weight, float* in, Epilogue epilogue, float* out, int out_width) {
    const Activations rows{in, q8_, q8_scale_, tokens, weight.in};
    prepare_input(team, weight, rows);
    matmul(team, weight, rows, epilogue, out, out_width);
  };

  patchify(config_, pixels, normed_);
  linear(weights_.patch_embedding(team), normed_, Epilogue::kStore, x_, width);
  team.kernels.add(x_, tensors_.position_embedding, static_cast<size_t>(tokens) * width);
  show("tower", 0, x_, tokens, width);

  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    const PackedVisionLayer& w = weights_.vision(team, layer);
    layer_norm(team, x_, w.norm1.gain, w.norm1.bias, c.epsilon, tokens, width, normed_);
    linear(w.qkv, normed_, Epilogue::kStore, qkv_, 3 * width);
    attend_tower(team);
    linear(w.out, attended_, Epilogue::kAdd, x_, width);
    layer_norm(team, x_, w.norm2.gain, w.norm2.bias, c.epsilon, tokens, width, normed_);
    linear(w.fc1, normed_, Epilogue::kGeluTanh, hidden_, c.intermediate);
    linear(w.fc2, hidden_, Epilogue::kAdd, x_, width);
    show("tower", layer + 1, x_, tokens, width);
  }

  const std::vector<PackedLinear>& projector = weights_.projector(team);
  float* in = x_;
  for (size_t i = 0; i < projector.size(); ++i) {  // erf GELU between the linear layers, none after the last
    const bool last = i + 1 == projector.size();
    float* out = last ? features_ : in == normed_ ? attended_ : normed_;
    linear(projector[i], in, last ? Epilogue::kStore : Epilogue::kGeluErf, out, projector[i].out);
    in = out;
  }
  if (projector.empty()) std::copy_n(x_, static_cast<size_t>(tokens) * width, features_);
  show("features", -1, features_, tokens, config_.language.hidden);
  return true;
}

void Forward::attend_tower(const Team& team) {
  const VisionConfig& c = config_.vision;
  const int tokens = c.tokens(), width = c.hidden, head_size = c.head_size();
  team.pool.each(tokens, [&](int row, int) {
    const float* keys = qkv_ + static_cast<size_t>(row) * 3 * width + width;
    const int block = row / kBlockRows, offset = row % kBlockRows * head_size;
    for (int head = 0; head < c.heads; ++head) {
      team.kernels.to_half(keys + head * head_size, tower_cache_.keys(0, block, head) + offset, head_size);
      team.kernels.to_half(keys + width + head * head_size, tower_cache_.values(0, block, head) + offset, head_size);
    }
  });
  const Attended all{tower_blocks_.data(), 0, tokens, false};
  tower_attention_.prefill(team, tower_cache_, 0, all, qkv_, 3 * static_cast<size_t>(width), attended_);
}

void Forward::embed_token(int row, int32_t id) {
  const Linear& table = tensors_.embedding;
  const size_t start = static_cast<size_t>(id) * table.in;
  float* out = x_ + static_cast<size_t>(row) * table.in;
  for (int i = 0; i < table.in; ++i) {
    switch (table.dtype) {
      case DType::kI8:
        out[i] = static_cast<const int8_t*>(table.weight)[start + i] * table.scale[id];
        break;
      case DType::kF16:
        out[i] = from_half(static_cast<const uint16_t*>(table.weight)[start + i]);
        break;
      case DType::kF32:
        out[i] = static_cast<const float*>(table.weight)[start + i];
        break;
    }
  }
}

void Forward::embed_feature(int row, int feature) {
  const size_t width = config_.language.hidden;
  std::copy_n(features_ + feature * width, width, x_ + row * width);
}

void Forward::rotate_and_store(const Team& team, int layer, const Attended* spans, int span_count) {
  const LanguageConfig& c = config_.language;
  const int half = c.rotary_dims / 2, head_size = c.head_size();
  int first = 0;
  for (int s = 0; s < span_count; ++s) {
    const Attended& span = spans[s];
    team.pool.each(span.count, [&](int i, int) {
      const int position = span.first + i, block = span.blocks[position / kBlockRows], offset = position % kBlockRows * head_size;
      const float *cosine = cosine_ + static_cast<size_t>(position) * half, *sine = sine_ + static_cast<size_t>(position) * half;
      float* q = qkv_ + static_cast<size_t>(first + i) * 3 * c.hidden;
      float* k = q + c.hidden;
      const float* v = k + c.hidden;
      for (int head = 0; head < c.heads; ++head) {
        for (float* part : {q + head * head_size, k + head * head_size}) {
          for (int j = 0; j < half; ++j) {  // pair j with j + half; the dims from rotary on pass through
            const float a = part[j], b = part[j + half];
            part[j] = a * cosine[j] - b * sine[j];
            part[j + half] = b * cosine[j] + a * sine[j];
          }
        }
        team.kernels.to_half(k + head * head_size, cache_.keys(layer, block, head) + offset, head_size);
        team.kernels.to_half(v + head * head_size, cache_.values(layer, block, head) + offset, head_size);
      }
    });
    first += span.count;
  }
}

/// Long spans go through prefill, runs of single rows together through decode.
void Forward::attend(const Team& team, int layer, const Attended* spans, int span_count) {
  const size_t hidden = config_.language.hidden;
  size_t row = 0;
  for (int s = 0; s < span_count;) {
    const float* q = qkv_ + row * 3 * hidden;
    float* out = attended_ + row * hidden;
    if (spans[s].count > 1) {
      attention_.prefill(team, cache_, layer, spans[s], q, 3 * hidden, out);
      row += spans[s++].count;
      continue;
    }
    int singles = 1;
    while (s + singles < span_count && spans[s + singles].count == 1) ++singles;
    attention_.decode(team, cache_, layer, spans + s, singles, q, 3 * hidden, out);
    row += singles;
    s += singles;
  }
}

bool Forward::layers(const Team& team, const Attended* spans, int span_count, const Cancelled& cancelled) {
  const LanguageConfig& c = config_.language;
  const size_t qkv_width = 3 * static_cast<size_t>(c.hidden);
  int count = 0;
  for (int s = 0; s < span_count; ++s) count += spans[s].count;
  show("language", 0, x_, count, c.hidden);

  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    const PackedLanguageLayer& w = weights_.language(team, layer);
    layer_norm(team, x_, w.norm.gain, w.norm.bias, c.epsilon, count, c.hidden, normed_);
    const Activations normed{normed_, q8_, q8_scale_, count, c.hidden};
    quantize(team, normed);  // one LayerNorm feeds both branches
    matmul(team, w.qkv, normed, Epilogue::kStore, qkv_, qkv_width);
    matmul(team, w.fc1, normed, Epilogue::kGeluTanh, hidden_, c.intermediate);

    rotate_and_store(team, layer, spans, span_count);
    attend(team, layer, spans, span_count);

    const Activations attended{attended_, q8_, q8_scale_, count, c.hidden};
    quantize(team, attended);
    matmul(team, w.dense, attended, Epilogue::kAdd, x_, c.hidden);
    const Activations hidden{hidden_, q8_, q8_scale_, count, c.intermediate};
    prepare_input(team, w.fc2, hidden);
    matmul(team, w.fc2, hidden, Epilogue::kAdd, x_, c.hidden);
    if (layer + 1 < c.layers) show("language", layer + 1, x_, count, c.hidden);
  }
  if (probe_) {
    const Norm& norm = tensors_.final_norm;
    layer_norm(team, x_, norm.gain, norm.bias, c.epsilon, count, c.hidden, normed_);
    show("language", c.layers, normed_, count, c.hidden);
  }
  return true;
}

void Forward::logits(const Team& team, const int* rows, int count, float* out) {
  const LanguageConfig& c = config_.language;
  const Norm& norm = tensors_.final_norm;
  for (int i = 0; i < count; ++i) {
    team.kernels.layer_norm(x_ + static_cast<size_t>(rows[i]) * c.hidden, norm.gain, norm.bias, c.epsilon, c.hidden,
                            normed_ + static_cast<size_t>(i) * c.hidden);
  }
  const Activations normed{normed_, q8_, q8_scale_, count, c.hidden};
  quantize(team, normed);
  matmul(team, weights_.head(team), normed, Epilogue::kStore, out, c.vocab);
}

}  // namespace mipha::cpu
