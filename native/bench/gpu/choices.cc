// Tokens chosen on the device: words that a constraint allows, the choice among them, the end of a step.
#include <numeric>
#include <string>

#include "backend/cuda/choosers.h"
#include "backend/cuda/kernels/choose.h"
#include "bench/gpu/device.h"
#include "bench/gpu/words.h"

namespace mipha::cuda::bench {
namespace {

/// What changes from one run of a kernel to the next, in one piece so that one copy puts it back.
struct Changing {
  int32_t counts[kMostSequences];
  Answer answers[kMostSequences];
};

struct Choosing {
  Choosing(Device& device, const Constraint& constraint, int count) : vocab(device.sizes().config.language.vocab), count(count) {
    const MadeUpWords words = made_up_words(device.sizes().config.language.tokens);
    std::vector<uint8_t> bytes;
    std::vector<uint32_t> begins = {0};
    for (const int32_t id : words.sorted) {
      bytes.insert(bytes.end(), words.bytes[id].begin(), words.bytes[id].end());
      begins.push_back(static_cast<uint32_t>(bytes.size()));
    }
    const auto word_count = static_cast<int32_t>(words.sorted.size());
    word_bytes = static_cast<double>(bytes.size() + begins.size() * sizeof(uint32_t));
    const cuda::Words held{device.copy(bytes), device.copy(begins), device.copy(words.sorted), word_count};
    const NumberedGroups numbered = number_groups(constraint);
    Changing at_first{};
    for (int i = 0; i < count; ++i) {
      Answer& answer = at_first.answers[i];
      answer.automaton = {device.copy(constraint.column),
                          device.copy(constraint.next),
                          device.copy(numbered.group),
                          device.copy(numbered.ends),
                          device.copy(constraint.accepting),
                          device.copy(constraint.decided),
                          static_cast<int32_t>(constraint.columns()),
                          numbered.groups};
      answer.chosen_here = 1;
      answer.tokens_left = INT32_MAX;
    }
    logits = device.floats(size_t(count) * vocab, 1);
    results = device.zeros<Results>(1);
    now = device.copy(std::vector<Changing>{at_first});
    before_walk = device.copy(std::vector<Changing>{at_first});
    walked = {device.copy(std::vector<cuda::Words>{held}), word_count, device.zeros<Transition>(size_t(kMostSequences) * word_count), now->counts};
    check(walk(device.launch(), walked, now->answers, count), "walk");
    check(cudaStreamSynchronize(device.launch().stream), "walk");
    Changing found{};
    check(cudaMemcpy(&found, now, sizeof found, cudaMemcpyDeviceToHost), "transitions");
    before_choice = device.copy(std::vector<Changing>{found});
    transitions = std::accumulate(found.counts, found.counts + count, 0.0);
  }

  cudaError_t put_back(const Launch& launch, const Changing* as) const {
    return cudaMemcpyAsync(now, as, sizeof(Changing), cudaMemcpyDeviceToDevice, launch.stream);
  }

  const int vocab, count;
  double word_bytes = 0, transitions = 0;  // of all answers
  Walked walked;
  float* logits;
  Results* results;
  Changing *now, *before_walk, *before_choice;
};

void under(Device& device, const std::string& what, const Constraint& constraint, int count) {
  const Launch& launch = device.launch();
  const Choosing choosing(device, constraint, count);
  const std::string of = std::to_string(count) + " x " + std::to_string(choosing.walked.most) + " words";
  device.kernel(("walk, " + what).c_str(), of, {choosing.word_bytes + sizeof(Transition) * choosing.transitions, 0},
                [&](int) { return walk(launch, choosing.walked, choosing.now->answers, count); },
                [&](int) { return choosing.put_back(launch, choosing.before_walk); });
  // A transition, the id of its word and the logit of that.
  device.kernel(
      ("choose, " + what).c_str(), of, {(sizeof(Transition) + 8) * choosing.transitions, 0},
      [&](int) { return choose(launch, choosing.walked, choosing.now->answers, count, choosing.logits, choosing.vocab, choosing.results->chosen); },
      [&](int) { return choosing.put_back(launch, choosing.before_choice); });
  device.release();
}

/// The answers that it goes on with, the host's word about them in page-locked memory.
void settling(Device& device, int count) {
  const Launch& launch = device.launch();
  const Choosing choosing(device, *any_text(), count);
  int64_t* ended = nullptr;
  check(cudaMallocHost(reinterpret_cast<void**>(&ended), sizeof *ended), "page-locked memory");
  *ended = 0;
  const Settling settled{choosing.now->answers,
                         choosing.now->counts,
                         choosing.results,
                         device.zeros<int32_t>(count),
                         device.zeros<Place>(count),
                         device.zeros<int32_t>(1),
                         device.copy(std::vector<int64_t>{1}),
                         ended};
  device.kernel("settle", std::to_string(count) + " answers", {double(count) * (sizeof(Answer) + sizeof(Chosen)), 0},
                [&](int) { return settle(launch, settled, count); });
  device.release();
  check(cudaFreeHost(ended), "page-locked memory");
}

}  // namespace

void measure_choices(Device& device) {
  for (const int count : {1, 8}) {
    under(device, "any text", *any_text(), count);
    under(device, "true or false", *true_or_false(), count);
    settling(device, count);
  }
}

}  // namespace mipha::cuda::bench
