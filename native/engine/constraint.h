// The byte automaton of a Constraint, seen as an automaton of tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/backend.h"
#include "engine/engine.h"

namespace mipha {

/// The constraint as jobs take it. Throws kOption: array lengths against `states`, targets and groups out of range.
std::shared_ptr<const Constraint> checked(Constraint constraint);

/// Tokens that may follow in one state, and where each leads.
struct Transitions {
  std::vector<int32_t> ids;
  std::vector<int32_t> targets;  // [ids]
  std::vector<int32_t> groups;   // [ids] of the target; where that is fixed text, the value it chose on its way there
};

/// The vocabulary sorted by bytes, so that tokens with a common beginning are walked together.
class Vocabulary {
 public:
  explicit Vocabulary(std::vector<std::vector<uint8_t>> bytes);

  int size() const { return static_cast<int>(bytes_.size()); }
  const std::vector<std::vector<uint8_t>>& bytes() const { return bytes_; }
  /// Ids that have bytes, by these.
  const std::vector<int32_t>& sorted() const { return sorted_; }
  /// What an answer without a constraint chooses from: the ids that have bytes, rising, but for the stop ids, and then those, rising.
  std::vector<int32_t> candidates(const std::vector<int32_t>& stop_ids) const;
  Transitions walk(const Constraint& constraint, int32_t state) const;

 private:
  std::vector<std::vector<uint8_t>> bytes_;  // [ids]
  std::vector<int32_t> answerable_;
  std::vector<int32_t> sorted_;  // answerable ids by their bytes
  std::vector<size_t> common_;   // [sorted] leading bytes shared with the token before
  size_t longest_ = 0;
};

/// A constraint over one vocabulary. A state's transitions are computed when first needed and kept while there is space.
class TokenAutomaton {
 public:
  TokenAutomaton(const Vocabulary& vocabulary, std::shared_ptr<const Constraint> constraint)
      : vocabulary_(vocabulary), constraint_(std::move(constraint)) {}

  const std::shared_ptr<const Constraint>& constraint() const { return constraint_; }
  /// Valid until the next call.
  const Transitions& from(int32_t state);

 private:
  static constexpr size_t kMaxTransitions = 1 << 18;  // 2 MiB; more than any one state can have

  const Vocabulary& vocabulary_;
  std::shared_ptr<const Constraint> constraint_;
  std::unordered_map<int32_t, Transitions> states_;
  size_t transitions_ = 0;
};

/// The automata of late: a watch asks the same typed question about every frame, each time with the same constraint.
class ConstraintCache {
 public:
  explicit ConstraintCache(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}
  std::shared_ptr<TokenAutomaton> find(const std::shared_ptr<const Constraint>& constraint);

 private:
  void drop_unreachable();

  static constexpr size_t kMaxAutomata = 16;

  const Vocabulary& vocabulary_;
  std::list<std::shared_ptr<TokenAutomaton>> recent_;  // latest first
};

/// One list of candidates for as long as the stop ids stay the same, which they do.
class CandidatesCache {
 public:
  explicit CandidatesCache(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}
  const Candidates& find(const std::vector<int32_t>& stop_ids);

 private:
  const Vocabulary& vocabulary_;
  std::vector<int32_t> stop_ids_;
  Candidates latest_;
};

}  // namespace mipha
