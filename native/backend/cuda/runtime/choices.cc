#include "backend/cuda/runtime/choices.h"

#include <algorithm>
#include <string>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

Choices::Choices(DeviceArena& arena, int vocab, cudaStream_t stream) : vocab_(vocab), stream_(stream) {
  for (int32_t*& list : lists_) list = arena.take<int32_t>(vocab);
  bytes_ = arena.take<uint8_t>(kWordBytes * vocab);
  constraints_ = arena.take<uint8_t>(kConstraintBytes);
  begins_ = arena.take<uint32_t>(size_t{1} + vocab);
  ids_ = arena.take<int32_t>(vocab);
  words_ = arena.take<Words>(1);  // zeros: no word
  walked_ = {words_, vocab, arena.take<Transition>(size_t{kMostSequences} * vocab), arena.take<int32_t>(kMostSequences)};
  arena.mark("choices");
}

/// Memory of the host may change when this returns.
void Choices::copy(void* to, const void* from, size_t bytes) const {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_), "copy of what is chosen by");
  check(cudaStreamSynchronize(stream_), "copy of what is chosen by");
}

void Choices::candidates(int slot, const int32_t* ids, int count) {
  copy(lists_.at(slot), ids, count * sizeof(int32_t));
  list_counts_.at(slot) = count;
}

void Choices::vocabulary(const VocabularyView& vocabulary) {
  const size_t bytes = vocabulary.begins[vocabulary.count], most = kWordBytes * vocab_;
  if (bytes > most) {
    throw Error(Code::kOption, "vocabulary: expected at most " + std::to_string(most) + " bytes, received " + std::to_string(bytes));
  }
  const Words words{bytes_, begins_, ids_, vocabulary.count};
  copy(bytes_, vocabulary.bytes, bytes);
  copy(begins_, vocabulary.begins, (size_t{1} + vocabulary.count) * sizeof(uint32_t));
  copy(ids_, vocabulary.ids, vocabulary.count * sizeof(int32_t));
  copy(words_, &words, sizeof words);
}

void Choices::constraint(int slot, size_t offset, const ConstraintView& constraint) {
  uint8_t* to = constraints_ + offset;
  const auto place = [&](const auto* from, size_t count) {
    auto* const placed = reinterpret_cast<std::remove_const_t<std::remove_pointer_t<decltype(from)>>*>(to);
    copy(to, from, count * sizeof *from);
    to += count * sizeof *from;
    return placed;
  };
  const size_t states = constraint.states;
  Automaton automaton;
  automaton.next = place(constraint.next, states * constraint.columns);
  automaton.group = place(constraint.group, states);
  automaton.ends = place(constraint.ends, states);
  automaton.column = place(constraint.column, 256);
  automaton.accepting = place(constraint.accepting, states);
  automaton.decided = place(constraint.decided, states);
  automaton.columns = constraint.columns;
  automaton.groups = constraint.groups;
  automata_.at(slot) = automaton;
}

Pick Choices::pick(const StepChooser& chooser, const float* logits, Chosen* to) const {
  const bool listed = chooser.list >= 0;
  return {logits, listed ? lists_.at(chooser.list) : nullptr, listed ? list_counts_.at(chooser.list) : 0, &to->id, &to->margin};
}

Answer Choices::answer(const StepChooser& chooser) const {
  Answer answer;
  if (chooser.constraint >= 0) answer.automaton = automata_.at(chooser.constraint);
  answer.state = chooser.state;
  answer.chosen_here = chooser.list >= 0 || chooser.constraint >= 0 ? 1 : 0;
  answer.tokens_left = chooser.tokens_left;
  answer.stop_count = chooser.stop_count;
  std::copy_n(chooser.stops, chooser.stop_count, answer.stops);
  return answer;
}

void Choices::begin(const Launch& launch, const Answer* answers, int count) const {
  check(cudaMemsetAsync(walked_.counts, 0, kMostSequences * sizeof(int32_t), launch.stream), "counts");
  check(walk(launch, walked_, answers, count), "constraint");
}

void Choices::choose(const Launch& launch, const Pick* picks, Answer* answers, const float* logits, int count, Chosen* chosen) const {
  check(mipha::cuda::pick(launch, picks, count), "choice");
  check(mipha::cuda::choose(launch, walked_, answers, count, logits, vocab_, chosen), "choice");
  check(walk(launch, walked_, answers, count), "constraint");
}

}  // namespace mipha::cuda
