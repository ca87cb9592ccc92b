// Decode: each kernel alone, then all of a step.
#include <algorithm>
#include <string>

#include "backend/cuda/kernels/choose.h"
#include "bench/gpu/device.h"

namespace mipha::cuda::bench {
namespace {

double weight_bytes(const Matrix& matrix) {
  return static_cast<double>(matrix.out) * matrix.in * (matrix.format == Format::kF16 ? 2 : 1);
}

constexpr size_t kLayerPeaks = 2 * kMostSequences;  // of what attention and of what the MLP's first half gave

/// Everything but weights and caches that a step of `count` sequences needs, each with `context` rows before it.
struct Step {
  Step(Device& device, const LanguageConfig& config, int count, int context)
      : config(config), count(count), context(context), blocks(context / kBlockRows + 1) {
    std::vector<int32_t> table;
    std::vector<Place> at;
    for (int i = 0; i < count; ++i) {
      at.push_back({context, i});
      for (int block = 0; block < blocks; ++block) table.push_back(i * blocks + block);
    }
    tables = {device.copy(table), blocks};
    places = device.copy(at);
    x = device.floats(size_t(count) * config.hidden, 1);
    q = device.floats(size_t(count) * config.attention_width(), 1);
    attended = device.floats(size_t(count) * config.attention_width(), 1);
    inner = device.floats(size_t(count) * config.intermediate, 1);
    mlp = device.zeros<float>(size_t(count) * config.hidden);
    logits = device.floats(size_t(count) * config.vocab, 1);
    gain = device.floats(config.hidden, 1);
    bias = device.floats(config.hidden, 1);
    cosine = device.floats(size_t(config.context) * config.rotary_dims / 2, 1);
    sine = device.floats(size_t(config.context) * config.rotary_dims / 2, 1);
    splits = decode_splits(config.kv_heads, config.context, device.launch().processors);
    partial = device.zeros<float>(size_t(count) * config.heads * splits * (config.head_size + 2));
    arrived = device.zeros<uint32_t>(size_t(count) * config.kv_heads);
    peaks = device.zeros<uint32_t>(kLayerPeaks * config.layers);
    ids = device.zeros<int32_t>(count);
    std::vector<Pick> choices;
    std::vector<int32_t> every;
    for (int id = 0; id < config.tokens; ++id) every.push_back(id);
    const int32_t* const candidates = device.copy(every);
    auto* const margins = device.zeros<float>(count);
    for (int i = 0; i < count; ++i) choices.push_back({logits + size_t(i) * config.vocab, candidates, config.tokens, ids + i, margins + i});
    picks = device.copy(choices);
  }

  Normed normed() const { return {x, config.hidden, count, config.hidden, config.norm, config.epsilon, gain, bias}; }
  Heads heads(const CacheLayer& cache) const {
    return {q, cache, places, tables, config.heads, config.kv_heads, config.head_size, config.rotary_dims, cosine, sine};
  }
  uint32_t* peak(int layer) const { return peaks + kLayerPeaks * layer; }
  Activate activate(int layer = 0) const { return {config.activation, nullptr, inner, config.intermediate, peak(layer)}; }
  Rows inner_rows(int layer = 0) const { return {inner, config.intermediate, count, config.intermediate, peak(layer)}; }
  Rows attended_rows(int layer = 0) const {
    return {attended, config.attention_width(), count, config.attention_width(), peak(layer) + kMostSequences};
  }
  DecodeAttention attention(const CacheLayer& cache, int layer = 0) const {
    return {q, count, config.heads, cache, tables, places, splits, partial, arrived, nullptr, attended, peak(layer) + kMostSequences};
  }
  double cache_bytes() const { return 2.0 * 2 * count * (context + 1) * config.kv_width(); }
  double attention_operations() const { return 4.0 * count * (context + 1) * config.attention_width(); }

  const LanguageConfig& config;
  const int count, context, blocks;  // of each sequence
  Tables tables;
  const Place* places;
  float *x, *q, *attended, *inner, *mlp, *logits, *gain, *bias, *cosine, *sine, *partial;
  uint32_t *arrived, *peaks;
  int32_t* ids;
  const Pick* picks;
  int splits;
};

Work product(const Matrix& matrix, int rows) {
  return {weight_bytes(matrix), 2.0 * rows * matrix.out * matrix.in, matrix.format};
}

const char* suffix(Format format) {
  return format == Format::kS8 ? "" : format == Format::kS8Wide ? ", INT8 x FP16" : ", FP16";
}

void products(Device& device, int count, Format format) {
  const LanguageConfig& c = device.sizes().config.language;
  const Launch& launch = device.launch();
  const Step step(device, c, count, 64);
  const RowOrder order{0, c.head_size, c.rotary_dims, c.attention_width() + c.kv_width()};
  const auto named = [&](const char* name) { return "decode " + std::string(name) + suffix(format); };
  const auto sets_of = [&](int out, int in) { return device.sets(double(out) * in); };
  const int n = sets_of(c.qkv_width() + c.intermediate, c.hidden);
  const auto qkv = device.matrices(n, c.qkv_width(), c.hidden, format, order);
  const auto up = device.matrices(n, c.intermediate, c.hidden, format);
  const CacheLayer cache = device.cache(c, count * step.blocks);
  const Heads heads = step.heads(cache);
  const Activate activate = step.activate();

  Work both = product(qkv[0], count);
  both.bytes += weight_bytes(up[0]), both.operations += product(up[0], count).operations;
  device.kernel(named("qkv and up").c_str(), shape(count, c.qkv_width() + c.intermediate, c.hidden), both,
                [&](int i) { return decode_heads(launch, step.normed(), qkv[i % n], heads, &up[i % n], &activate); });
  if (device.all()) {
    device.kernel(named("qkv").c_str(), shape(count, c.qkv_width(), c.hidden), product(qkv[0], count),
                  [&](int i) { return decode_heads(launch, step.normed(), qkv[i % n], heads, nullptr, nullptr); });
    device.kernel(named("up").c_str(), shape(count, c.intermediate, c.hidden), product(up[0], count),
                  [&](int i) { return decode_up(launch, step.normed(), up[i % n], activate); });
  }
  const int outs = sets_of(c.hidden, c.attention_width());
  const auto out = device.matrices(outs, c.hidden, c.attention_width(), format);
  device.kernel(named("out").c_str(), shape(count, c.hidden, c.attention_width()), product(out[0], count), [&](int i) {
    return decode_add(launch, step.attended_rows(), out[i % outs], Add{step.x, c.hidden, step.mlp});
  });
  const int downs = sets_of(c.hidden, c.intermediate);
  const auto down = device.matrices(downs, c.hidden, c.intermediate, format);
  device.kernel(named("down").c_str(), shape(count, c.hidden, c.intermediate), product(down[0], count), [&](int i) {
    return decode_add(launch, step.inner_rows(), down[i % downs], Add{step.x, c.hidden});
  });
  const int tops = sets_of(c.vocab, c.hidden);
  const auto head = device.matrices(tops, c.vocab, c.hidden, format);
  device.kernel(named("logits").c_str(), shape(count, c.vocab, c.hidden), product(head[0], count), [&](int i) {
    return decode_logits(launch, step.normed(), head[i % tops], Store{step.logits, c.vocab});
  });
  if (format == Format::kS8) {
    device.kernel("pick", std::to_string(count) + " x " + std::to_string(c.tokens), {4.0 * (count + 1) * c.tokens, 0, format},
                  [&](int) { return pick(launch, step.picks, count); });
  }
  device.release();
}

void attention(Device& device, int count, int context) {
  const LanguageConfig& c = device.sizes().config.language;
  const Launch& launch = device.launch();
  const Step step(device, c, count, context);
  const int n = device.sets(step.cache_bytes());
  std::vector<CacheLayer> caches;
  for (int i = 0; i < n; ++i) caches.push_back(device.cache(c, count * step.blocks));
  const std::string of = std::to_string(count) + " x " + std::to_string(context) + " rows";
  const Work work{step.cache_bytes(), step.attention_operations(), Format::kF16};
  device.kernel("decode attention", of, work, [&](int i) { return decode_attend(launch, step.attention(caches[i % n])); });
  const auto down = device.matrices(n, c.hidden, c.intermediate, Format::kS8);
  const Work both{work.bytes + weight_bytes(down[0]), product(down[0], count).operations, Format::kS8};
  device.kernel("decode attention beside down", of, both, [&](int i) {
    return decode_attend_and_down(launch, step.attention(caches[i % n]), step.inner_rows(), down[i % n], Store{step.mlp, c.hidden});
  });
  device.release();
}

/// Weights and caches of all layers: too large to be made again for each number of sequences.
struct Layers {
  Layers(Device& device, const LanguageConfig& c, int most_blocks)
      : qkv(device.matrices(c.layers, c.qkv_width(), c.hidden, Format::kS8, {0, c.head_size, c.rotary_dims, c.attention_width() + c.kv_width()})),
        up(device.matrices(c.layers, c.intermediate, c.hidden, Format::kS8)),
        down(device.matrices(c.layers, c.hidden, c.intermediate, Format::kS8)),
        out(device.matrices(c.layers, c.hidden, c.attention_width(), Format::kS8)),
        head(device.matrix(c.vocab, c.hidden, Format::kS8)) {
    for (int i = 0; i < c.layers; ++i) caches.push_back(device.cache(c, most_blocks));
  }
  double bytes() const {
    return qkv.size() * (weight_bytes(qkv[0]) + weight_bytes(up[0]) + weight_bytes(down[0]) + weight_bytes(out[0])) + weight_bytes(head);
  }
  const std::vector<Matrix> qkv, up, down, out;
  const Matrix head;
  std::vector<CacheLayer> caches;
};

/// As runtime/decoder.cc queues it, of answers that choose from candidates.
void whole_step(Device& device, const Layers& layers, int count, int context) {
  const LanguageConfig& c = device.sizes().config.language;
  const Launch& launch = device.launch();
  const Step step(device, c, count, context);
  const Embedding embedding{DType::kI8, layers.head.tiles, layers.head.scale, c.hidden};  // as many bytes in any order
  const int32_t* const ids = device.zeros<int32_t>(count);
  auto* const answers = device.zeros<Answer>(count);
  const Walked walked{device.zeros<Words>(1), c.vocab, nullptr, device.zeros<int32_t>(kMostSequences)};
  auto* const results = device.zeros<Results>(1);
  auto* const turn = device.zeros<int64_t>(1);
  const Settling settling{answers, walked.counts, results, device.zeros<int32_t>(count), device.zeros<Place>(count), device.zeros<int32_t>(1),
                          turn,    turn};
  const double bytes = layers.bytes() + c.layers * step.cache_bytes();
  device.model(std::string(device.sizes().decoder) + " decode, kernels alone", count, context, count, bytes, [&] {
    check(cudaMemsetAsync(step.peaks, 0, kLayerPeaks * c.layers * sizeof(uint32_t), launch.stream), "peaks");
    check(embed(launch, embedding, ids, nullptr, count, step.x), "embedding");
    for (int i = 0; i < c.layers; ++i) {
      const Activate activate = step.activate(i);
      check(decode_heads(launch, step.normed(), layers.qkv[i], step.heads(layers.caches[i]), &layers.up[i], &activate), "qkv and up");
      check(decode_attend_and_down(launch, step.attention(layers.caches[i], i), step.inner_rows(i), layers.down[i], Store{step.mlp, c.hidden}),
            "attention beside down");
      check(decode_add(launch, step.attended_rows(i), layers.out[i], Add{step.x, c.hidden, step.mlp}), "out");
    }
    check(decode_logits(launch, step.normed(), layers.head, Store{step.logits, c.vocab}), "logits");
    check(pick(launch, step.picks, count), "pick");
    check(choose(launch, walked, answers, count, step.logits, c.vocab, results->chosen), "choose");
    check(walk(launch, walked, answers, count), "walk");
    check(settle(launch, settling, count), "settle");
  });
}

}  // namespace

void measure_decode(Device& device) {
  const bool small = device.how() == How::kSmall;
  const std::vector<int> contexts = small ? std::vector<int>{31, 100} : device.all() ? std::vector<int>{64, 900, 2000} : std::vector<int>{64, 900};
  const std::vector<int> batches = device.how() == How::kLong ? std::vector<int>{1, 2, 4, 8} : std::vector<int>{1, 8};

  if (device.how() != How::kOnce) {
    const LanguageConfig& c = device.sizes().config.language;
    const int most_context = contexts.back() / kBlockRows + 1, most_batch = batches.back() * (contexts.front() / kBlockRows + 1);
    const Layers layers(device, c, std::max(most_context, most_batch));
    for (const int context : contexts) whole_step(device, layers, 1, context);
    for (const int count : batches)
      if (count > 1) whole_step(device, layers, count, contexts.front());
    device.release();
  }
  for (const int count : batches) products(device, count, Format::kS8);
  if (device.all()) {
    for (const int count : {1, 8}) products(device, count, Format::kS8Wide);
    products(device, 1, Format::kF16);
  }
  for (const int context : contexts) attention(device, 1, context);
  attention(device, batches.back(), contexts.front());
}

}  // namespace mipha::cuda::bench
