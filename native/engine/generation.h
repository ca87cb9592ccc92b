// One answer as it grows: which token comes next, and when it ends. Knows logits and the constraint, nothing of caches and queues.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "engine/constraint.h"
#include "engine/engine.h"
#include "engine/sampler.h"

namespace mipha {

class Generation {
 public:
  /// Writes ids, margins, probability and state of `outcome` as it goes; job and outcome outlive it. `candidates`: Vocabulary::candidates() of the
  /// job's stop ids. `automaton` may be null.
  Generation(const AskJob& job, Candidates candidates, std::shared_ptr<TokenAutomaton> automaton, AskOutcome& outcome);

  /// What the next token is chosen by, where that is not left to advance(logits). Who samples leaves it. Valid until the next advance().
  Chooser chooser() const;

  // One step further. Nothing: outcome.ids.back() wants to be fed for the next; otherwise why the answer is over. Both throw kInternal when every
  // allowed logit is NaN or infinite.

  /// Chooses the token after logits [vocab].
  std::optional<Finish> advance(const float* logits, const std::function<void(int32_t id)>& on_token);
  /// Takes what chooser() chose.
  std::optional<Finish> advance(const Choice& choice, const std::function<void(int32_t id)>& on_token);

 private:
  static constexpr int32_t kEnd = -2;  // target of an end token: no state, and a group of its own where no value ends

  bool greedy() const { return job_.sampling.temperature <= 0; }
  std::optional<Finish> take(int32_t id, int32_t target, float margin, const std::function<void(int32_t id)>& on_token);
  std::optional<Finish> ended(bool over) const;
  bool over();
  bool collect(const float* logits);
  void offer(int32_t id, int32_t target, int32_t group, const float* logits);
  size_t choose();
  size_t choose_grouped();
  float margin() const;

  const AskJob& job_;
  const Candidates candidates_;
  std::shared_ptr<TokenAutomaton> automaton_;
  AskOutcome& outcome_;
  Sampler sampler_;
  std::vector<int32_t> ends_;  // stop ids, each once

  // The candidates of this step.
  std::vector<int32_t> ids_;
  std::vector<int32_t> targets_;
  std::vector<int32_t> groups_;
  std::vector<float> logits_;
};

}  // namespace mipha
