#include "backend/cpu/forward.h"

#include <algorithm>
#include <cmath>
#include <string>

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
      tower_cache_(arena, 1, (config_.vision.tokens() + kBlockRows - 1) / kBlockRows, config_.vision.heads, config_.vision.head_size),
      tower_attention_(arena, threads, config_.vision.head_size, config_.vision.tokens()),
      attention_(arena, threads, config_.language.head_size, config_.language.context) {
  for (int block = 0; block < tower_cache_.blocks(); ++block) tower_blocks_.push_back(block);
  const VisionConfig& vision = config_.vision;
  const LanguageConfig& language = config_.language;
  const size_t rows = std::max(max_rows, vision.tokens());
  const size_t width = std::max({vision.hidden, language.hidden, vision.patch_values()});
  const size_t wide = std::max(vision.intermediate, language.intermediate);
  x_ = arena.take<float>(rows * width);
  normed_ = arena.take<float>(rows * width);
  qkv_ = arena.take<float>(rows * std::max(vision.qkv_width(), language.qkv_width()));
  attended_ = arena.take<float>(rows * std::max(vision.attention_width(), language.attention_width()));
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

  const Attended all{tower_blocks_.data(), 0, tokens, false};
  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    block(team, c, weights_.tower(team, layer), {tower_cache_, tower_attention_, 0, &all, 1}, tokens);
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

/// One block over the first `rows` rows of x_, in place.
void Forward::block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows) {
  const bool parallel = config.residual == Residual::kParallel;
  const Activations normed{normed_, q8_, q8_scale_, rows, config.hidden}, attended{attended_, q8_, q8_scale_, rows, config.attention_width()},
      inner{hidden_, q8_, q8_scale_, rows, config.intermediate};
  const auto normalize = [&](const Norm& norm) {
    layer_norm(team, x_, norm.gain, norm.bias, config.epsilon, rows, config.hidden, normed_);
    quantize(team, normed);
  };
  const auto expand = [&] { matmul(team, w.up, normed, Epilogue::kGeluTanh, hidden_, config.intermediate); };

  normalize(w.norm1);
  matmul(team, w.qkv, normed, Epilogue::kStore, qkv_, config.qkv_width());
  if (parallel) expand();  // while its rows are there in INT8
  rotate_and_store(team, config, sight);
  attend(team, config, sight);
  quantize(team, attended);
  matmul(team, w.out, attended, Epilogue::kAdd, x_, config.hidden);

  if (!parallel) {
    normalize(w.norm2);
    expand();
  }
  prepare_input(team, w.down, inner);
  matmul(team, w.down, inner, Epilogue::kAdd, x_, config.hidden);
}

void Forward::embed_token(int row, int32_t id) {
  read_row(tensors_.embedding, id, x_ + static_cast<size_t>(row) * tensors_.embedding.in);
}

void Forward::embed_feature(int row, int feature) {
  const size_t width = config_.language.hidden;
  std::copy_n(features_ + feature * width, width, x_ + row * width);
}

/// Rotates q and k in qkv_, and puts k and v into the cache.
void Forward::rotate_and_store(const Team& team, const BlockConfig& config, const Sight& sight) {
  const int half = config.rotary_dims / 2, head_size = config.head_size;
  int first = 0;
  for (int s = 0; s < sight.span_count; ++s) {
    const Attended& span = sight.spans[s];
    team.pool.each(span.count, [&](int i, int) {
      const int position = span.first + i, block = span.blocks[position / kBlockRows], offset = position % kBlockRows * head_size;
      const float *cosine = cosine_ + static_cast<size_t>(position) * half, *sine = sine_ + static_cast<size_t>(position) * half;
      float* q = qkv_ + static_cast<size_t>(first + i) * config.qkv_width();
      float* k = q + config.attention_width();
      const float* v = k + config.attention_width();
      for (int head = 0; head < config.heads; ++head) {
        for (float* part : {q + head * head_size, k + head * head_size}) {
          for (int j = 0; j < half; ++j) {  // pair j with j + half; the dims from rotary on pass through
            const float a = part[j], b = part[j + half];
            part[j] = a * cosine[j] - b * sine[j];
            part[j + half] = b * cosine[j] + a * sine[j];
          }
        }
        team.kernels.to_half(k + head * head_size, sight.cache.keys(sight.layer, block, head) + offset, head_size);
        team.kernels.to_half(v + head * head_size, sight.cache.values(sight.layer, block, head) + offset, head_size);
      }
    });
    first += span.count;
  }
}

/// Long spans go through prefill, runs of single rows together through decode.
void Forward::attend(const Team& team, const BlockConfig& config, const Sight& sight) {
  const size_t stride = config.qkv_width(), width = config.attention_width();
  size_t row = 0;
  for (int s = 0; s < sight.span_count;) {
    const float* q = qkv_ + row * stride;
    float* out = attended_ + row * width;
    if (sight.spans[s].count > 1) {
      sight.attention.prefill(team, sight.cache, sight.layer, sight.spans[s], q, stride, out);
      row += sight.spans[s++].count;
      continue;
    }
    int singles = 1;
    while (s + singles < sight.span_count && sight.spans[s + singles].count == 1) ++singles;
    sight.attention.decode(team, sight.cache, sight.layer, sight.spans + s, singles, q, stride, out);
    row += singles;
    s += singles;
  }
}

bool Forward::layers(const Team& team, const Attended* spans, int span_count, const Cancelled& cancelled) {
  const LanguageConfig& c = config_.language;
  int count = 0;
  for (int s = 0; s < span_count; ++s) count += spans[s].count;
  show("language", 0, x_, count, c.hidden);

  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    block(team, c, weights_.decoder(team, layer), {cache_, attention_, layer, spans, span_count}, count);
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
