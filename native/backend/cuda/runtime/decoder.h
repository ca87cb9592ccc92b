// One token further for 1..8 sequences: the kernels of a step, and graphs of them, captured once for each number of sequences.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "backend/cuda/runtime/choices.h"
#include "backend/cuda/runtime/memory.h"
#include "backend/cuda/runtime/model.h"

namespace mipha::cuda {

/// Inputs of a step on the device, copied as a whole, or made by the step before (settle() in kernels/choose.h). Block tables
/// [8, blocks of a context] follow.
struct Inputs {
  int32_t ids[kMostSequences];
  Place places[kMostSequences];
  Pick picks[kMostSequences];
  Answer answers[kMostSequences];
  int64_t turn;
  int32_t live;

  int32_t* tables() { return reinterpret_cast<int32_t*>(this + 1); }
};

class Decoder {
 public:
  /// `ended` as in Settling: page-locked memory of the host.
  Decoder(DeviceArena& arena, Model& model, const Launch& launch, const int64_t* ended);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Captures the graphs. Nothing is allocated later.
  void load();

  Choices& choices() { return choices_; }
  /// A step's inputs in page-locked memory, to be filled before start(). It is read until that step has ended.
  Inputs& inputs() const { return *reinterpret_cast<Inputs*>(inputs_host_.data()); }
  Pick pick(const StepChooser& chooser, int row) const;

  /// Queues a step of inputs().
  void start(int count);
  /// Queues the step that follows the one queued last, of the same sequences. Nothing happens in it when the device found that there is none.
  void go_on(int count);

  // Of the step queued last, until the next.
  const float* logits(int row) const { return logits_ + static_cast<size_t>(row) * model_.config.language.vocab; }
  const Results* results() const { return results_; }

 private:
  static constexpr size_t kLayerPeaks = 2 * kMostSequences;  // of what attention and of what the MLP's first half gave

  void take_activations(DeviceArena& arena);
  cudaGraphExec_t capture(int count, bool from_host);
  void copy_inputs();
  void queue(int count, bool from_host);
  void layer(const BlockConfig& config, const DeviceBlock& w, int index, int count);
  void probe(const char* name, int index, const float* rows, int count);

  Model& model_;
  Launch launch_;
  const int64_t* const ended_;
  const size_t input_bytes_;
  const int splits_;
  Inputs* inputs_;
  Results* results_;
  float *x_, *q_, *attended_, *inner_, *mlp_, *partial_, *logits_;
  uint32_t *peaks_, *arrived_;
  Choices choices_;
  Pinned<uint8_t> inputs_host_;
  std::vector<cudaGraphExec_t> from_host_, going_on_;  // [count − 1]
};

}  // namespace mipha::cuda
