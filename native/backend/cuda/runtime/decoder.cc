#include "backend/cuda/runtime/decoder.h"

#include <cstring>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

Decoder::Decoder(DeviceArena& arena, Model& model, const Launch& launch, const int64_t* ended)
    : model_(model),
      launch_(launch),
      ended_(ended),
      input_bytes_(sizeof(Inputs) + sizeof(int32_t) * kMostSequences * model.table_width),
      splits_(decode_splits(model.config.language.kv_heads, model.config.language.context, launch.processors)),
      inputs_(reinterpret_cast<Inputs*>(arena.take<uint8_t>(input_bytes_))),
      results_(arena.take<Results>(1)),
      choices_((take_activations(arena), arena), model.config.language.vocab, launch.stream),
      inputs_host_(input_bytes_) {
  if (inputs_ != nullptr) launch_.live = &inputs_->live;
  std::memset(inputs_host_.data(), 0, input_bytes_);
}

void Decoder::take_activations(DeviceArena& arena) {
  const LanguageConfig& c = model_.config.language;
  const size_t rows = kMostSequences;
  x_ = arena.take<float>(rows * c.hidden);
  q_ = arena.take<float>(rows * c.attention_width());
  attended_ = arena.take<float>(rows * c.attention_width());
  inner_ = arena.take<float>(rows * c.intermediate);
  mlp_ = arena.take<float>(rows * c.hidden);
  partial_ = arena.take<float>(rows * c.heads * splits_ * (c.head_size + 2));
  logits_ = arena.take<float>(rows * c.vocab);
  peaks_ = arena.take<uint32_t>(c.layers * kLayerPeaks);
  arrived_ = arena.take<uint32_t>(rows * c.kv_heads);
  arena.mark("decode");
}

Decoder::~Decoder() {
  for (const cudaGraphExec_t graph : from_host_) cudaGraphExecDestroy(graph);
  for (const cudaGraphExec_t graph : going_on_) cudaGraphExecDestroy(graph);
}

void Decoder::load() {
  for (int count = 1; count <= kMostSequences; ++count) {
    from_host_.push_back(capture(count, true));
    going_on_.push_back(capture(count, false));
  }
}

cudaGraphExec_t Decoder::capture(int count, bool from_host) {
  check(cudaStreamBeginCapture(launch_.stream, cudaStreamCaptureModeThreadLocal), "capture");
  cudaGraph_t graph = nullptr;
  try {
    if (from_host) copy_inputs();
    queue(count, from_host);
  } catch (...) {
    cudaStreamEndCapture(launch_.stream, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(launch_.stream, &graph), "capture");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(error, "graph");
  return executable;
}

Pick Decoder::pick(const StepChooser& chooser, int row) const {
  return choices_.pick(chooser, logits(row), &results_->chosen[row]);
}

void Decoder::start(int count) {
  if (model_.probe.seen == nullptr) {
    check(cudaGraphLaunch(from_host_.at(count - 1), launch_.stream), "decode");
    return;
  }
  copy_inputs();
  queue(count, true);
}

void Decoder::go_on(int count) {
  check(cudaGraphLaunch(going_on_.at(count - 1), launch_.stream), "decode");
}

void Decoder::copy_inputs() {
  check(cudaMemcpyAsync(inputs_, inputs_host_.data(), input_bytes_, cudaMemcpyHostToDevice, launch_.stream), "copy of a step");
}

/// Everything between a step's inputs on the device and its results there.
void Decoder::queue(int count, bool from_host) {
  const LanguageConfig& c = model_.config.language;
  check(cudaMemsetAsync(peaks_, 0, c.layers * kLayerPeaks * sizeof(uint32_t), launch_.stream), "peaks");
  if (from_host) choices_.begin(launch_, inputs_->answers, count);
  check(embed(launch_, model_.weights.embedding, inputs_->ids, nullptr, count, x_), "embedding");
  probe("language", 0, x_, count);
  for (int i = 0; i < c.layers; ++i) {
    layer(c, model_.weights.decoder[i], i, count);
    if (i + 1 < c.layers) probe("language", i + 1, x_, count);
  }
  check(decode_logits(launch_, normed(c, model_.weights.final_norm, x_, count), model_.weights.head, Store{logits_, c.vocab}), "logits");
  choices_.choose(launch_, inputs_->picks, inputs_->answers, logits_, count, results_->chosen);
  const Settling settling{inputs_->answers, choices_.counts(), results_, inputs_->ids, inputs_->places, &inputs_->live, &inputs_->turn, ended_};
  check(settle(launch_, settling, count), "step");
}

/// x_ [count, hidden], in place.
void Decoder::layer(const BlockConfig& config, const DeviceBlock& w, int index, int count) {
  const Tables tables{inputs_->tables(), model_.table_width};
  const CacheLayer cache = model_.cache.layer(index);
  uint32_t *const attended_peak = peaks_ + index * kLayerPeaks, *const inner_peak = attended_peak + kMostSequences;
  const Heads into = heads(config, model_.weights, cache, inputs_->places, tables, q_);
  const Activate expand{config.activation, w.down.smooth, inner_, config.intermediate, inner_peak};
  const Rows inner{inner_, config.intermediate, count, config.intermediate, inner_peak};
  const Rows attended{attended_, config.attention_width(), count, config.attention_width(), attended_peak};
  const DecodeAttention attention{q_,      count,    config.heads, cache,        tables,    inputs_->places,
                                  splits_, partial_, arrived_,     w.out.smooth, attended_, attended_peak};
  const Normed first = normed(config, w.norm1, x_, count);

  if (!config.parallel()) {
    check(decode_heads(launch_, first, w.qkv, into, nullptr, nullptr), "matmul");
    check(decode_attend(launch_, attention), "attention");
    check(decode_add(launch_, attended, w.out, Add{x_, config.hidden}), "matmul");
    check(decode_up(launch_, normed(config, w.norm2, x_, count), w.up, expand), "matmul");
    check(decode_add(launch_, inner, w.down, Add{x_, config.hidden}), "matmul");
    return;
  }
  const bool together = !config.has_norm2() && (w.qkv.format == Format::kS8) == (w.up.format == Format::kS8);
  check(decode_heads(launch_, first, w.qkv, into, together ? &w.up : nullptr, together ? &expand : nullptr), "matmul");
  if (!together) check(decode_up(launch_, config.has_norm2() ? normed(config, w.norm2, x_, count) : first, w.up, expand), "matmul");
  check(decode_attend_and_down(launch_, attention, inner, w.down, Store{mlp_, config.hidden}), "attention");
  check(decode_add(launch_, attended, w.out, Add{x_, config.hidden, mlp_}), "matmul");
}

void Decoder::probe(const char* name, int index, const float* rows, int count) {
  show(model_, launch_, name, index, rows, count, model_.config.language.hidden);
}

}  // namespace mipha::cuda
