#include "backend/cpu/forward.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "model/pooling.h"

namespace mipha::cpu {
namespace {

constexpr int kUnitRows = 8;  // neighbours in a block of the cache, so that threads seldom write to the same line

int padded(int width) {
  return (width + kDepthStep - 1) / kDepthStep * kDepthStep;
}

/// Rows `rows`, which ascend, to the top.
template <typename T>
void gather(const std::vector<int>& rows, T* values, size_t width) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] != static_cast<int>(i)) std::copy_n(values + rows[i] * width, width, values + i * width);
  }
}

Epilogue epilogue_of(Activation activation) {
  switch (activation) {
    case Activation::kGeluTanh:
      return Epilogue::kGeluTanh;
    case Activation::kGeluErf:
      return Epilogue::kGeluErf;
    case Activation::kQuickGelu:
      return Epilogue::kQuickGelu;
    case Activation::kSilu:
      return Epilogue::kSilu;
  }
  return Epilogue::kStore;
}

}  // namespace

Forward::Forward(Arena& arena, const Package& package, PackedWeights& weights, const CacheBlocks& cache, int threads, int max_rows)
    : config_(package.config()),
      tensors_(package.weights()),
      weights_(weights),
      cache_(cache),
      max_rows_(max_rows),
      tower_cache_(arena, 1, (config_.vision.rows() + kBlockRows - 1) / kBlockRows, config_.vision.kv_heads, config_.vision.head_size),
      tower_attention_(arena, threads, config_.vision.heads, config_.vision.head_size, config_.vision.rows()),
      attention_(arena, threads, config_.language.heads, config_.language.head_size, config_.language.context) {
  for (int block = 0; block < tower_cache_.blocks(); ++block) tower_blocks_.push_back(block);
  const VisionConfig& vision = config_.vision;
  const LanguageConfig& language = config_.language;
  const size_t rows = std::max(max_rows, vision.rows());
  const size_t width = std::max({vision.hidden, language.hidden, vision.patch_values()});
  const size_t wide = std::max(vision.up_width(), language.up_width());
  const int widest =
      std::max({static_cast<int>(width), vision.intermediate, language.intermediate, vision.attention_width(), language.attention_width()});
  x_ = arena.take<float>(rows * width);
  normed_ = arena.take<float>(rows * width);
  qkv_ = arena.take<float>(rows * std::max(vision.qkv_width(), language.qkv_width()));
  attended_ = arena.take<float>(rows * std::max({width, size_t(vision.attention_width()), size_t(language.attention_width())}));
  hidden_ = arena.take<float>(rows * wide);
  q8_ = arena.take<int8_t>(rows * padded(static_cast<int>(widest)));
  q8_scale_ = arena.take<float>(rows);
  projected_ = config_.projector.pooled ? arena.take<float>(static_cast<size_t>(vision.selected_rows()) * language.hidden) : nullptr;
  features_ = arena.take<float>(static_cast<size_t>(config_.image_tokens()) * language.hidden);
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
  const int rows = c.rows(), width = c.hidden;
  embed_patches(team, pixels);
  show("tower", 0, x_, rows, width);

  const Attended all{tower_blocks_.data(), 0, rows, false};
  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    block(team, c, weights_.tower(team, layer), {tower_cache_, tower_attention_, 0, &all, 1}, rows);
    show("tower", layer + 1, x_, rows, width);
  }
  project(team);
  show("features", -1, features_, config_.image_tokens(), config_.language.hidden);
  return true;
}

/// pixels → x_ [vision.rows, vision.hidden].
void Forward::embed_patches(const Team& team, const uint8_t* pixels) {
  const VisionConfig& c = config_.vision;
  const size_t prefix = static_cast<size_t>(c.prefix_rows) * c.hidden;
  patchify(config_, pixels, normed_);
  const PackedLinear& embedding = weights_.patch_embedding(team);
  const Activations cut{normed_, q8_, q8_scale_, c.patches(), c.patch_values()};
  prepare_input(team, embedding, cut);
  matmul(team, embedding, cut, Epilogue::kStore, x_ + prefix, c.hidden);
  team.kernels.add(x_ + prefix, tensors_.position_embedding, static_cast<size_t>(c.patches()) * c.hidden);
  std::copy_n(tensors_.prefix, prefix, x_);
  if (c.pre_norm) normalize(team, c, tensors_.pre_norm, x_, c.rows(), x_);
}

/// x_ [vision.rows, vision.hidden] → features_.
void Forward::project(const Team& team) {
  const int rows = config_.vision.selected_rows(), width = config_.language.hidden;
  float* const end = config_.projector.pooled ? projected_ : features_;
  float* in = x_ + static_cast<size_t>(config_.vision.skipped_rows) * config_.vision.hidden;
  const std::vector<PackedLinear>& layers = weights_.projector(team);
  if (layers.empty()) std::copy_n(in, static_cast<size_t>(rows) * width, end);
  for (size_t i = 0; i < layers.size(); ++i) {  // erf GELU between the linear layers, none after the last
    const bool last = i + 1 == layers.size();
    float* const out = last ? end : in == normed_ ? attended_ : normed_;
    const Activations from{in, q8_, q8_scale_, rows, layers[i].in};
    prepare_input(team, layers[i], from);
    matmul(team, layers[i], from, last ? Epilogue::kStore : Epilogue::kGeluErf, out, width);
    in = out;
  }
  if (config_.projector.pooled) pool_features(config_, tensors_, projected_, features_);
}

/// One block over the first `rows` rows of x_, in place.
void Forward::block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows) {
  enter_block(team, config, w, sight, rows);
  leave_block(team, config, w, sight, rows);
}

/// Up to keys and values, which are in the cache then; q in qkv_, and what the norm gave in normed_ and q8_.
void Forward::enter_block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows) {
  const Activations normed{normed_, q8_, q8_scale_, rows, config.hidden};
  normalize_and_quantize(team, config, w.norm1, x_, normed);
  matmul(team, w.qkv, normed, Epilogue::kStore, qkv_, config.qkv_width());
  rotate_and_store(team, config, sight, rows);
}

/// The rest, from what enter_block left.
void Forward::leave_block(const Team& team, const BlockConfig& config, const PackedBlock& w, const Sight& sight, int rows) {
  const Activations normed{normed_, q8_, q8_scale_, rows, config.hidden}, attended{attended_, q8_, q8_scale_, rows, config.attention_width()},
      inner{hidden_, q8_, q8_scale_, rows, config.intermediate, static_cast<size_t>(config.up_width())};
  const auto expand = [&] {
    if (config.has_norm2()) normalize_and_quantize(team, config, w.norm2, x_, normed);
    const Epilogue activation = epilogue_of(config.activation);
    matmul(team, w.up, normed, config.gated ? Epilogue::kStore : activation, hidden_, config.up_width());
    if (config.gated) gate(team, activation, hidden_, rows, config.intermediate);
  };

  if (config.parallel()) expand();  // while its rows are there in INT8, and before attention is added
  attend(team, config, sight);
  quantize(team, attended);
  matmul(team, w.out, attended, Epilogue::kAdd, x_, config.hidden);

  if (!config.parallel()) expand();
  prepare_input(team, w.down, inner);
  matmul(team, w.down, inner, Epilogue::kAdd, x_, config.hidden);
}

/// The last block: of rows that nobody asks for only keys and values are needed. The others come to the top.
void Forward::last_block(const Team& team, const PackedBlock& w, const Sight& sight, int rows, const std::vector<int>& wanted) {
  const LanguageConfig& c = config_.language;
  enter_block(team, c, w, sight, rows);
  std::vector<Attended> kept;
  for (int s = 0, first = 0; s < sight.span_count; first += sight.spans[s++].count) {
    const Attended& span = sight.spans[s];
    for (int i = 0; i < span.count; ++i) {
      if (kept.size() < wanted.size() && wanted[kept.size()] == first + i) kept.push_back({span.blocks, span.first + i, 1, true});
    }
  }
  gather(wanted, x_, c.hidden);
  gather(wanted, normed_, c.hidden);
  gather(wanted, q8_, padded(c.hidden));
  gather(wanted, q8_scale_, 1);
  gather(wanted, qkv_, c.qkv_width());
  const int count = static_cast<int>(kept.size());
  if (count > 0) leave_block(team, c, w, {sight.cache, sight.attention, sight.layer, kept.data(), count}, count);
}

void Forward::embed_token(int row, int32_t id) {
  read_row(tensors_.embedding, id, x_ + static_cast<size_t>(row) * tensors_.embedding.in);
}

void Forward::embed_feature(int row, int feature) {
  const size_t width = config_.language.hidden;
  std::copy_n(features_ + feature * width, width, x_ + row * width);
}

/// Rotates q and k in qkv_ of all spans, and puts k and v into the cache.
void Forward::rotate_and_store(const Team& team, const BlockConfig& config, const Sight& sight, int rows) {
  team.pool.each((rows + kUnitRows - 1) / kUnitRows, [&](int unit, int) {
    const int begin = unit * kUnitRows, end = std::min(rows, begin + kUnitRows);
    int first = 0;
    for (const Attended* span = sight.spans; first < end; first += span++->count) {
      for (int row = std::max(begin, first); row < std::min(end, first + span->count); ++row)
        rotate_and_store_row(team.kernels, config, sight, *span, row - first, qkv_ + static_cast<size_t>(row) * config.qkv_width());
    }
  });
}

void Forward::rotate_and_store_row(const Kernels& kernels, const BlockConfig& config, const Sight& sight, const Attended& span, int i,
                                   float* qkv) const {
  const int half = config.rotary_dims / 2, head_size = config.head_size;
  const int position = span.first + i, block = span.blocks[position / kBlockRows], offset = position % kBlockRows * head_size;
  if (half > 0) {
    const float *cosine = cosine_ + static_cast<size_t>(position) * half, *sine = sine_ + static_cast<size_t>(position) * half;
    for (int head = 0; head < config.heads + config.kv_heads; ++head)
      kernels.rotate(qkv + head * head_size, cosine, sine, half);  // those of k lie behind those of q
  }
  const float *k = qkv + config.attention_width(), *v = k + config.kv_width();
  for (int head = 0; head < config.kv_heads; ++head) {
    kernels.to_half(k + head * head_size, sight.cache.keys(sight.layer, block, head) + offset, head_size);
    kernels.to_half(v + head * head_size, sight.cache.values(sight.layer, block, head) + offset, head_size);
  }
}

/// Runs of longer spans go together through prefill, runs of single rows together through decode.
void Forward::attend(const Team& team, const BlockConfig& config, const Sight& sight) {
  const size_t stride = config.qkv_width(), width = config.attention_width();
  size_t row = 0;
  for (int s = 0; s < sight.span_count;) {
    const float* q = qkv_ + row * stride;
    float* out = attended_ + row * width;
    if (sight.spans[s].count > 1) {
      int long_spans = 0, rows = 0;
      for (; s + long_spans < sight.span_count && sight.spans[s + long_spans].count > 1; ++long_spans) rows += sight.spans[s + long_spans].count;
      sight.attention.prefill(team, sight.cache, sight.layer, sight.spans + s, long_spans, q, stride, out);
      row += rows;
      s += long_spans;
      continue;
    }
    int singles = 1;
    while (s + singles < sight.span_count && sight.spans[s + singles].count == 1) ++singles;
    sight.attention.decode(team, sight.cache, sight.layer, sight.spans + s, singles, q, stride, out);
    row += singles;
    s += singles;
  }
}

bool Forward::layers(const Team& team, const Attended* spans, int span_count, const std::vector<int>& wanted, const Cancelled& cancelled) {
  const LanguageConfig& c = config_.language;
  int count = 0;
  for (int s = 0; s < span_count; ++s) count += spans[s].count;
  show("language", 0, x_, count, c.hidden);

  for (int layer = 0; layer < c.layers; ++layer) {
    if (cancelled && cancelled()) return false;
    const PackedBlock& w = weights_.decoder(team, layer);
    const Sight sight{cache_, attention_, layer, spans, span_count};
    if (layer + 1 == c.layers && !probe_) {
      last_block(team, w, sight, count, wanted);
      return true;
    }
    block(team, c, w, sight, count);
    if (layer + 1 < c.layers) show("language", layer + 1, x_, count, c.hidden);
  }
  normalize(team, c, tensors_.final_norm, x_, count, normed_);
  show("language", c.layers, normed_, count, c.hidden);
  gather(wanted, x_, c.hidden);
  return true;
}

void Forward::logits(const Team& team, int count, float* out) {
  const LanguageConfig& c = config_.language;
  const Activations normed{normed_, q8_, q8_scale_, count, c.hidden};
  normalize_and_quantize(team, c, tensors_.final_norm, x_, normed);
  matmul(team, weights_.head(team), normed, Epilogue::kStore, out, c.vocab);
}

}  // namespace mipha::cpu
