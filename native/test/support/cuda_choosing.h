// What tokens are chosen by under a constraint, on the device.
#pragma once

#include <memory>
#include <vector>

#include "backend/cuda/choosers.h"
#include "backend/cuda/kernels/choose.h"
#include "engine/constraint.h"
#include "test/machine/buffer.h"

namespace mipha::test {

class DeviceConstraint {
 public:
  explicit DeviceConstraint(const Constraint& constraint)
      : numbered_(cuda::number_groups(constraint)),
        column_(constraint.column),
        accepting_(constraint.accepting),
        decided_(constraint.decided),
        next_(constraint.next),
        group_(numbered_.group),
        ends_(numbered_.ends) {
    automaton = {
        column_.data(),  next_.data(), group_.data(), ends_.data(), accepting_.data(), decided_.data(), static_cast<int>(constraint.columns()),
        numbered_.groups};
  }
  cuda::Automaton automaton;

 private:
  const cuda::NumberedGroups numbered_;
  const machine::Buffer<uint8_t> column_, accepting_, decided_;
  const machine::Buffer<int32_t> next_, group_, ends_;
};

/// A vocabulary on both sides, and what walk() and choose() keep.
class Vocabularies {
 public:
  explicit Vocabularies(const std::vector<std::vector<uint8_t>>& bytes)
      : plain(bytes),
        vocab(static_cast<int>(bytes.size()) + 3),
        sorted_(plain.sorted()),
        begins_(begins()),
        bytes_(all_bytes()),
        words_(std::vector<cuda::Words>{{bytes_.data(), begins_.data(), sorted_.data(), static_cast<int32_t>(plain.sorted().size())}}),
        walked{words_.data(), vocab, transitions_.data(), counts_.data()} {}

  const Vocabulary plain;
  const int vocab;

  std::vector<int32_t> counts() const { return counts_.get(); }
  std::vector<cuda::Transition> transitions(int row, int count) const {
    std::vector<cuda::Transition> some(count);
    MACHINE_CHECK(cudaMemcpy(some.data(), transitions_.data() + static_cast<size_t>(row) * vocab, count * sizeof some[0], cudaMemcpyDeviceToHost));
    return some;
  }

 private:
  std::vector<uint32_t> begins() const {
    std::vector<uint32_t> begins = {0};
    for (const int32_t id : plain.sorted()) begins.push_back(begins.back() + static_cast<uint32_t>(plain.bytes()[id].size()));
    return begins;
  }
  std::vector<uint8_t> all_bytes() const {
    std::vector<uint8_t> all;
    for (const int32_t id : plain.sorted()) all.insert(all.end(), plain.bytes()[id].begin(), plain.bytes()[id].end());
    return all;
  }

  const machine::Buffer<int32_t> sorted_;
  const machine::Buffer<uint32_t> begins_;
  const machine::Buffer<uint8_t> bytes_;
  const machine::Buffer<cuda::Words> words_;
  const machine::Buffer<cuda::Transition> transitions_{static_cast<size_t>(vocab) * cuda::kMostSequences};
  const machine::Buffer<int32_t> counts_{std::vector<int32_t>(cuda::kMostSequences, 0)};

 public:
  const cuda::Walked walked;
};

}  // namespace mipha::test
