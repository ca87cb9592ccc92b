// One token further for 1..8 sequences: a graph for each number of them, captured once, whose inputs and results lie in page-locked memory.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <vector>

#include "backend/cuda/runtime/memory.h"
#include "backend/cuda/runtime/model.h"

namespace mipha::cuda {

class Decoder {
 public:
  Decoder(DeviceArena& arena, Model& model, const Launch& launch);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  /// Captures the graphs. Nothing is allocated later.
  void load();

  /// List `slot` of candidates, at most the vocabulary.
  void candidates(int slot, const int32_t* ids, int count);
  void step(const Step& step);

 private:
  /// Inputs of a step as they are copied: everything of fixed size first, then the block tables [8, table_width].
  struct Inputs {
    int32_t ids[kMostSequences];
    Place places[kMostSequences];
    Pick picks[kMostSequences];
  };
  static constexpr size_t kLayerPeaks = 2 * kMostSequences;  // of what attention and of what the MLP's first half gave

  void queue(int count, bool copies);
  void layer(const BlockConfig& config, const DeviceBlock& w, int index, int count);
  void probe(const char* name, int index, const float* rows, int count);

  Model& model_;
  const Launch launch_;
  const size_t input_bytes_;
  const int splits_;
  uint8_t* inputs_;  // Inputs, then tables
  Chosen* chosen_;
  float *x_, *q_, *attended_, *inner_, *mlp_, *partial_, *logits_;
  uint32_t *peaks_, *arrived_;
  std::array<int32_t*, kCandidateLists> lists_{};
  std::array<int32_t, kCandidateLists> list_counts_{};
  Pinned<uint8_t> inputs_host_;
  Pinned<Chosen> chosen_host_;
  Pinned<float> logits_host_;  // [8, vocab]
  std::vector<cudaGraphExec_t> graphs_;
};

}  // namespace mipha::cuda
