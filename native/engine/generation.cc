#include "engine/generation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>
#include <utility>

namespace mipha {
namespace {

Error no_finite_logit() {
  return Error(Code::kInternal, "the backend gave no finite logit for any allowed token");
}

}  // namespace

Generation::Generation(const AskJob& job, Candidates candidates, std::shared_ptr<TokenAutomaton> automaton, AskOutcome& outcome)
    : job_(job),
      candidates_(std::move(candidates)),
      automaton_(std::move(automaton)),
      outcome_(outcome),
      sampler_(job.sampling),
      ends_(job.stop_ids) {
  std::sort(ends_.begin(), ends_.end());
  ends_.erase(std::unique(ends_.begin(), ends_.end()), ends_.end());
  if (automaton_) outcome_.state = 0;
}

Chooser Generation::chooser() const {
  Chooser chooser;
  if (!greedy()) return chooser;
  if (automaton_) {
    chooser.constraint = automaton_->constraint();
    chooser.state = outcome_.state;
  } else {
    chooser.candidates = candidates_;
  }
  chooser.stop_ids = &ends_;
  chooser.tokens_left = job_.max_tokens - static_cast<int>(outcome_.ids.size());
  return chooser;
}

std::optional<Finish> Generation::advance(const float* logits, const std::function<void(int32_t id)>& on_token) {
  if (!automaton_ && greedy()) return advance(likeliest(logits, *candidates_), on_token);
  // A start state may be over already, or a dead end: no token fits a constraint whose bytes the vocabulary cannot spell. Neither may hang.
  if (over() || !collect(logits)) return Finish::kStop;
  const size_t chosen = automaton_ && automaton_->constraint()->group[outcome_.state] >= 0 ? choose_grouped() : choose();
  const std::optional<Finish> finish = take(ids_[chosen], targets_[chosen], margin(), on_token);
  return finish ? finish : ended(over());
}

std::optional<Finish> Generation::advance(const Choice& choice, const std::function<void(int32_t id)>& on_token) {
  if (automaton_ ? choice.id == Choice::kNoneAllowed : candidates_->empty()) return Finish::kStop;
  if (choice.id < 0) throw no_finite_logit();
  if (automaton_) outcome_.probability *= choice.share;
  const bool end = std::binary_search(ends_.begin(), ends_.end(), choice.id);
  const std::optional<Finish> finish = take(choice.id, end ? kEnd : choice.state, choice.margin, on_token);
  return finish ? finish : ended(automaton_ && (choice.last || automaton_->constraint()->decided[outcome_.state] != 0));
}

std::optional<Finish> Generation::take(int32_t id, int32_t target, float margin, const std::function<void(int32_t id)>& on_token) {
  outcome_.margins.push_back(margin);
  if (target == kEnd) return Finish::kEos;

  outcome_.ids.push_back(id);
  if (on_token) on_token(id);
  if (automaton_) outcome_.state = target;
  return std::nullopt;
}

/// Behind a token that was no end.
std::optional<Finish> Generation::ended(bool over) const {
  if (over) return Finish::kStop;
  if (static_cast<int>(outcome_.ids.size()) >= job_.max_tokens) return Finish::kLength;
  return std::nullopt;
}

/// True when another step could not change the value: it is decided, or nothing but the end can follow.
bool Generation::over() {
  if (!automaton_) return false;
  return automaton_->constraint()->decided[outcome_.state] != 0 || automaton_->from(outcome_.state).ids.empty();
}

/// False when the constraint allows no token here.
bool Generation::collect(const float* logits) {
  ids_.clear();
  targets_.clear();
  groups_.clear();
  logits_.clear();
  size_t allowed = 0;
  if (automaton_) {
    const Transitions& transitions = automaton_->from(outcome_.state);
    for (size_t i = 0; i < transitions.ids.size(); ++i) {
      if (std::binary_search(ends_.begin(), ends_.end(), transitions.ids[i])) continue;
      ++allowed;
      offer(transitions.ids[i], transitions.targets[i], transitions.groups[i], logits);
    }
    if (automaton_->constraint()->accepting[outcome_.state] != 0) {
      allowed += ends_.size();
      const int32_t value = automaton_->constraint()->ends[outcome_.state];
      for (int32_t id : ends_) offer(id, kEnd, value != 0 ? value : kEnd, logits);
    }
  } else {
    allowed = candidates_->size();
    const size_t first_end = allowed - ends_.size();
    for (size_t i = 0; i < allowed; ++i) offer((*candidates_)[i], i < first_end ? 0 : kEnd, -1, logits);
  }
  if (allowed > 0 && ids_.empty()) throw no_finite_logit();
  return allowed > 0;
}

void Generation::offer(int32_t id, int32_t target, int32_t group, const float* logits) {
  if (!std::isfinite(logits[id])) return;
  ids_.push_back(id);
  targets_.push_back(target);
  groups_.push_back(group);
  logits_.push_back(logits[id]);
}

size_t Generation::choose() {
  const size_t chosen = static_cast<size_t>(sampler_.choose(logits_));
  if (automaton_) outcome_.probability *= std::exp(logits_[chosen] - log_sum_exp(logits_));
  return chosen;
}

/// The heaviest group first, then a token within it: spellings of one value (capital or not, space before or not) stand together.
size_t Generation::choose_grouped() {
  // Groups in the order they are met. Tokens into free text stand alone, the end tokens together or with the value they end.
  struct Group {
    int32_t key;
    double mass = 0;
    std::vector<size_t> members = {};
  };
  std::vector<Group> groups;
  std::unordered_map<int32_t, size_t> known;
  const double all = log_sum_exp(logits_);
  for (size_t i = 0; i < ids_.size(); ++i) {
    const int32_t key = groups_[i];
    size_t at = groups.size();
    if (key != -1) at = known.emplace(key, groups.size()).first->second;
    if (at == groups.size()) groups.push_back({key});
    groups[at].mass += std::exp(logits_[i] - all);
    groups[at].members.push_back(i);
  }
  const Group& heaviest = *std::max_element(groups.begin(), groups.end(), [](const Group& a, const Group& b) { return a.mass < b.mass; });
  outcome_.probability *= std::min(heaviest.mass, 1.0);
  std::vector<float> within;
  for (size_t i : heaviest.members) within.push_back(logits_[i]);
  return heaviest.members[static_cast<size_t>(sampler_.choose(within))];
}

float Generation::margin() const {
  float first = -std::numeric_limits<float>::infinity(), second = first;
  for (float logit : logits_) {
    second = std::max(second, std::min(first, logit));
    first = std::max(first, logit);
  }
  return first - second;
}

}  // namespace mipha
