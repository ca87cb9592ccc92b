// What tokens are chosen by on the device: lists of candidates, the vocabulary, constraints.
#pragma once

#include <array>

#include "backend/cuda/kernels/choose.h"
#include "backend/cuda/runtime/memory.h"

namespace mipha::cuda {

class Choices {
 public:
  Choices(DeviceArena& arena, int vocab, cudaStream_t stream);

  void candidates(int slot, const int32_t* ids, int count);
  void vocabulary(const VocabularyView& vocabulary);
  void constraint(int slot, size_t offset, const ConstraintView& constraint);

  /// What a row of a step is chosen by, the result at `to`, memory of the device.
  Pick pick(const StepChooser& chooser, const float* logits, Chosen* to) const;
  Answer answer(const StepChooser& chooser) const;

  /// Before a step on inputs of the host: what the states of `answers` lead to.
  void begin(const Launch& launch, const Answer* answers, int count) const;
  /// Behind the logits [count, vocab]: moves `answers` on, and finds what their new states lead to.
  void choose(const Launch& launch, const Pick* picks, Answer* answers, const float* logits, int count, Chosen* chosen) const;
  /// [8] how many transitions lead on from the state of each answer.
  const int32_t* counts() const { return walked_.counts; }

 private:
  void copy(void* to, const void* from, size_t bytes) const;

  const int vocab_;
  const cudaStream_t stream_;
  std::array<int32_t*, kCandidateLists> lists_{};
  std::array<int32_t, kCandidateLists> list_counts_{};
  std::array<Automaton, kConstraints> automata_{};
  uint8_t *bytes_, *constraints_;
  uint32_t* begins_;
  int32_t* ids_;
  Words* words_;
  Walked walked_;
};

}  // namespace mipha::cuda
