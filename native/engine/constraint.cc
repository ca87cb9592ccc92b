#include "engine/constraint.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace mipha {
namespace {

void expect_length(const char* name, size_t expected, size_t received) {
  if (expected == received) return;
  throw Error(Code::kOption,
              "constraint." + std::string(name) + ": expected " + std::to_string(expected) + " values, received " + std::to_string(received));
}

}  // namespace

std::shared_ptr<const Constraint> checked(Constraint constraint) {
  if (constraint.states < 1) throw Error(Code::kOption, "constraint.states: expected at least 1");
  const auto states = static_cast<size_t>(constraint.states);
  expect_length("column", 256, constraint.column.size());
  expect_length("next", states * constraint.columns(), constraint.next.size());
  expect_length("accepting", states, constraint.accepting.size());
  expect_length("group", states, constraint.group.size());
  expect_length("ends", states, constraint.ends.size());
  expect_length("decided", states, constraint.decided.size());
  for (int32_t target : constraint.next) {
    if (target < -1 || target >= constraint.states) {
      throw Error(Code::kOption,
                  "constraint.next: expected -1 or a state below " + std::to_string(constraint.states) + ", received " + std::to_string(target));
    }
  }
  for (int32_t group : constraint.group) {
    if (group < -1) throw Error(Code::kOption, "constraint.group: expected -1 or a set id, received " + std::to_string(group));
  }
  return std::make_shared<const Constraint>(std::move(constraint));
}

Vocabulary::Vocabulary(std::vector<std::vector<uint8_t>> bytes) : bytes_(std::move(bytes)) {
  for (size_t id = 0; id < bytes_.size(); ++id) {
    if (!bytes_[id].empty()) answerable_.push_back(static_cast<int32_t>(id));
  }
  sorted_ = answerable_;
  std::sort(sorted_.begin(), sorted_.end(), [&](int32_t a, int32_t b) { return std::tie(bytes_[a], a) < std::tie(bytes_[b], b); });
  common_.resize(sorted_.size());
  for (size_t i = 0; i < sorted_.size(); ++i) {
    const std::vector<uint8_t>& token = bytes_[sorted_[i]];
    longest_ = std::max(longest_, token.size());
    if (i == 0) continue;
    const std::vector<uint8_t>& before = bytes_[sorted_[i - 1]];
    const auto differ = std::mismatch(token.begin(), token.end(), before.begin(), before.end());
    common_[i] = static_cast<size_t>(differ.first - token.begin());
  }
}

std::vector<int32_t> Vocabulary::candidates(const std::vector<int32_t>& stop_ids) const {
  const std::set<int32_t> ends(stop_ids.begin(), stop_ids.end());
  std::vector<int32_t> candidates;
  std::copy_if(answerable_.begin(), answerable_.end(), std::back_inserter(candidates), [&](int32_t id) { return ends.count(id) == 0; });
  candidates.insert(candidates.end(), ends.begin(), ends.end());
  return candidates;
}

Transitions Vocabulary::walk(const Constraint& constraint, int32_t state) const {
  Transitions result;
  const size_t columns = constraint.columns();
  std::vector<int32_t> path(longest_ + 1);    // path[n]: the state after n bytes of the current token
  std::vector<int32_t> groups(longest_ + 1);  // what those bytes chose
  path[0] = state;
  groups[0] = constraint.group[state];
  size_t walked = 0;  // bytes of the token before that the automaton took
  for (size_t i = 0; i < sorted_.size(); ++i) {
    if (common_[i] > walked) continue;  // it begins with the bytes that stopped the one before
    const std::vector<uint8_t>& token = bytes_[sorted_[i]];
    for (walked = common_[i]; walked < token.size(); ++walked) {
      const int32_t target = constraint.next[static_cast<size_t>(path[walked]) * columns + constraint.column[token[walked]]];
      if (target < 0) break;
      path[walked + 1] = target;
      // Into fixed text: what ended there, or in the text before it, is what was chosen.
      const int32_t ended = constraint.ends[path[walked]] != 0 ? constraint.ends[path[walked]] : std::max(groups[walked], 0);
      groups[walked + 1] = constraint.group[target] != 0 ? constraint.group[target] : ended;
    }
    if (walked < token.size() || path[walked] == state) continue;
    result.ids.push_back(sorted_[i]);
    result.targets.push_back(path[walked]);
    result.groups.push_back(groups[walked]);
  }
  return result;
}

const Transitions& TokenAutomaton::from(int32_t state) {
  const auto known = states_.find(state);
  if (known != states_.end()) return known->second;
  Transitions fresh = vocabulary_.walk(*constraint_, state);
  transitions_ += fresh.ids.size();
  if (transitions_ > kMaxTransitions) {
    states_.clear();
    transitions_ = fresh.ids.size();
  }
  return states_.emplace(state, std::move(fresh)).first->second;
}

/// Whose constraint has no other owner any more cannot be asked for again, and a constraint may be megabytes.
void ConstraintCache::drop_unreachable() {
  recent_.remove_if([](const auto& entry) { return entry.use_count() == 1 && entry->constraint().use_count() == 1; });
}

std::shared_ptr<TokenAutomaton> ConstraintCache::find(const std::shared_ptr<const Constraint>& constraint) {
  drop_unreachable();
  const auto known = std::find_if(recent_.begin(), recent_.end(), [&](const auto& entry) { return entry->constraint() == constraint; });
  if (known != recent_.end()) {
    recent_.splice(recent_.begin(), recent_, known);
    return recent_.front();
  }
  recent_.push_front(std::make_shared<TokenAutomaton>(vocabulary_, constraint));
  if (recent_.size() > kMaxAutomata) recent_.pop_back();
  return recent_.front();
}

const Candidates& CandidatesCache::find(const std::vector<int32_t>& stop_ids) {
  if (!latest_ || stop_ids_ != stop_ids) {
    stop_ids_ = stop_ids;
    latest_ = std::make_shared<const std::vector<int32_t>>(vocabulary_.candidates(stop_ids));
  }
  return latest_;
}

}  // namespace mipha
