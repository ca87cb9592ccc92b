#include "backend/cuda/runtime/decoder.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

Decoder::Decoder(DeviceArena& arena, Model& model, const Launch& launch)
    : model_(model),
      launch_(launch),
      input_bytes_(sizeof(Inputs) + sizeof(int32_t) * kMostSequences * model.table_width),
      splits_(decode_splits(model.config.language.kv_heads, model.config.language.context, launch.processors)),
      inputs_host_(input_bytes_),
      chosen_host_(kMostSequences),
      logits_host_(static_cast<size_t>(kMostSequences) * model.config.language.vocab) {
  const LanguageConfig& c = model.config.language;
  const size_t rows = kMostSequences;
  inputs_ = arena.take<uint8_t>(input_bytes_);
  chosen_ = arena.take<Chosen>(rows);
  x_ = arena.take<float>(rows * c.hidden);
  q_ = arena.take<float>(rows * c.attention_width());
  attended_ = arena.take<float>(rows * c.attention_width());
  inner_ = arena.take<float>(rows * c.intermediate);
  mlp_ = arena.take<float>(rows * c.hidden);
  partial_ = arena.take<float>(rows * c.heads * splits_ * (c.head_size + 2));
  logits_ = arena.take<float>(rows * c.vocab);
  peaks_ = arena.take<uint32_t>(c.layers * kLayerPeaks);
  arrived_ = arena.take<uint32_t>(rows * c.kv_heads);
  for (int32_t*& list : lists_) list = arena.take<int32_t>(c.vocab);
  arena.mark("decode");
}

Decoder::~Decoder() {
  for (const cudaGraphExec_t graph : graphs_) cudaGraphExecDestroy(graph);
}

void Decoder::load() {
  for (int count = 1; count <= kMostSequences; ++count) {
    check(cudaStreamBeginCapture(launch_.stream, cudaStreamCaptureModeThreadLocal), "capture");
    cudaGraph_t graph = nullptr;
    try {
      queue(count, true);
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
    graphs_.push_back(executable);
  }
}

/// Everything between a step's inputs in page-locked memory and its results there, logits excepted.
void Decoder::queue(int count, bool copies) {
  const LanguageConfig& c = model_.config.language;
  const auto* const inputs = reinterpret_cast<const Inputs*>(inputs_);
  if (copies) check(cudaMemcpyAsync(inputs_, inputs_host_.data(), input_bytes_, cudaMemcpyHostToDevice, launch_.stream), "copy of a step");
  check(cudaMemsetAsync(peaks_, 0, c.layers * kLayerPeaks * sizeof(uint32_t), launch_.stream), "peaks");
  check(embed(launch_, model_.weights.embedding, inputs->ids, nullptr, count, x_), "embedding");
  probe("language", 0, x_, count);
  for (int i = 0; i < c.layers; ++i) {
    layer(c, model_.weights.decoder[i], i, count);
    if (i + 1 < c.layers) probe("language", i + 1, x_, count);
  }
  check(decode_logits(launch_, normed(c, model_.weights.final_norm, x_, count), model_.weights.head, Store{logits_, c.vocab}), "logits");
  check(pick(launch_, inputs->picks, count), "choice");
  if (copies) check(cudaMemcpyAsync(chosen_host_.data(), chosen_, count * sizeof(Chosen), cudaMemcpyDeviceToHost, launch_.stream), "copy of choices");
}

/// x_ [count, hidden], in place.
void Decoder::layer(const BlockConfig& config, const DeviceBlock& w, int index, int count) {
  const auto* const inputs = reinterpret_cast<const Inputs*>(inputs_);
  const Tables tables{reinterpret_cast<const int32_t*>(inputs_ + sizeof(Inputs)), model_.table_width};
  const CacheLayer cache = model_.cache.layer(index);
  uint32_t *const attended_peak = peaks_ + index * kLayerPeaks, *const inner_peak = attended_peak + kMostSequences;
  const Heads into = heads(config, model_.weights, cache, inputs->places, tables, q_);
  const Activate expand{config.activation, w.down.smooth, inner_, config.intermediate, inner_peak};
  const Rows inner{inner_, config.intermediate, count, config.intermediate, inner_peak};
  const Rows attended{attended_, config.attention_width(), count, config.attention_width(), attended_peak};
  const DecodeAttention attention{q_,      count,    config.heads, cache,        tables,    inputs->places,
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

void Decoder::candidates(int slot, const int32_t* ids, int count) {
  check(cudaMemcpyAsync(lists_.at(slot), ids, count * sizeof(int32_t), cudaMemcpyHostToDevice, launch_.stream), "copy of candidates");
  check(cudaStreamSynchronize(launch_.stream), "copy of candidates");
  list_counts_.at(slot) = count;
}

void Decoder::step(const Step& step) {
  const size_t vocab = model_.config.language.vocab;
  auto& inputs = *reinterpret_cast<Inputs*>(inputs_host_.data());
  std::copy_n(step.ids, step.count, inputs.ids);
  std::memcpy(inputs_host_.data() + sizeof(Inputs), step.blocks, sizeof(int32_t) * step.count * model_.table_width);
  for (int i = 0; i < step.count; ++i) {
    inputs.places[i] = {step.positions[i], i};
    const int list = step.lists[i];
    inputs.picks[i] = {logits_ + i * vocab, list < 0 ? nullptr : lists_.at(list), list < 0 ? 0 : list_counts_.at(list), &chosen_[i].id,
                       &chosen_[i].margin};
  }
  if (model_.probe.seen == nullptr) {
    check(cudaGraphLaunch(graphs_.at(step.count - 1), launch_.stream), "decode");
  } else {
    check(cudaMemcpyAsync(inputs_, inputs_host_.data(), input_bytes_, cudaMemcpyHostToDevice, launch_.stream), "copy of a step");
    queue(step.count, false);
    check(cudaMemcpyAsync(chosen_host_.data(), chosen_, step.count * sizeof(Chosen), cudaMemcpyDeviceToHost, launch_.stream), "copy of choices");
  }
  for (int i = 0; i < step.count; ++i) {
    if (step.lists[i] >= 0) continue;
    check(cudaMemcpyAsync(logits_host_.data() + i * vocab, logits_ + i * vocab, vocab * sizeof(float), cudaMemcpyDeviceToHost, launch_.stream),
          "copy of logits");
  }
  check(cudaStreamSynchronize(launch_.stream), "decode");
  for (int i = 0; i < step.count; ++i) {
    if (step.lists[i] < 0)
      std::copy_n(logits_host_.data() + i * vocab, vocab, step.logits + i * vocab);
    else
      step.chosen[i] = chosen_host_[i];
  }
}

void Decoder::probe(const char* name, int index, const float* rows, int count) {
  show(model_, launch_, name, index, rows, count, model_.config.language.hidden);
}

}  // namespace mipha::cuda
