// Decode steps as they are asked for, and those that run ahead. The device makes the inputs of the step that follows from what it chose, so the host
// launches it before it has seen the choice, and the device never waits for the host in between.
//
// Steps that ran ahead and are not asked for are forgotten: their rows lie behind the lengths of their sequences, where nobody reads. Everything else
// that touches those rows is queued behind them, on the same stream.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <vector>

#include "backend/cuda/runtime/decoder.h"

namespace mipha::cuda {

class Steps {
 public:
  Steps(DeviceArena& arena, Model& model, const Launch& launch);
  ~Steps();
  Steps(const Steps&) = delete;
  Steps& operator=(const Steps&) = delete;

  void load();
  void step(const Step& step);
  const StepCounts& counts() const { return counts_; }

  /// To change what steps choose by: those that run ahead may still read it, but no later one may take it for what it was.
  Choices& changed_choices();

 private:
  static constexpr int kMostAhead = 2;
  static constexpr int kRing = 1 + kMostAhead;

  /// What the device has inputs for: the step behind the last one.
  struct Next {
    bool there = false;
    int count = 0;
    int32_t ids[kMostSequences], positions[kMostSequences];
    StepChooser choosers[kMostSequences];
    std::vector<int32_t> blocks;
  };

  bool follows(const Step& step) const;
  bool same_blocks(const Step& step) const;
  void fill(const Step& step);
  void launch(const Step& step, bool from_host);
  void collect(const Step& step);
  void expect_next(const Step& step, const Results& results);
  void forget();

  Model& model_;
  const cudaStream_t stream_;
  Pinned<int64_t> ended_;  // turns that do not go on: the host's word to the device
  Decoder decoder_;
  Pinned<Results> results_;    // [kRing]
  Pinned<float> logits_host_;  // [8, vocab]
  std::array<cudaEvent_t, kRing> done_{};

  int64_t turn_ = 0;  // steps launched from inputs of the host
  int launched_ = 0;  // that were not collected
  int oldest_ = 0;    // of these, in the ring
  int in_a_row_ = 0;  // steps that followed the one before
  Next next_;
  StepCounts counts_{};
};

}  // namespace mipha::cuda
