// What the next token of a sequence is chosen by, and what was chosen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mipha {

/// A byte automaton that the answer must follow. Token transitions are the automaton run over a token's bytes; a token that leads from a state to
/// itself is no transition, so that an answer ends though a state takes any number of bytes.
struct Constraint {
  int states = 0;
  std::vector<uint8_t> column;     // [256] of each byte in `next`: bytes that no state tells apart share one
  std::vector<int32_t> next;       // [states, largest column + 1] target or −1
  std::vector<uint8_t> accepting;  // [states] the end token is allowed here
  std::vector<int32_t> group;    // [states] values still reachable in the choice at hand, as a set id; 0: all, or fixed text; −1: free text, whose
                                 // tokens are not grouped
  std::vector<int32_t> ends;     // [states] the group of the one value that the choice at hand has when it ends here; 0: it does not end here
  std::vector<uint8_t> decided;  // [states] exactly one value is reachable: generation may end here at once

  /// Values of `next` for each state. `column` is not empty.
  size_t columns() const { return *std::max_element(column.begin(), column.end()) + size_t{1}; }
};

/// Ids of which the likeliest is wanted, each once; of equal logits the id that stands first goes before the others. The list of a question is the
/// same at every step, and of most questions: a backend may hold it and keep what it has made of it.
using Candidates = std::shared_ptr<const std::vector<int32_t>>;

/// How a step chooses the next token of a sequence. Without candidates and constraint it does not: logits are wanted, to sample from. That stays with
/// the caller, in double, so that one seed picks the same tokens on every backend.
struct Chooser {
  Candidates candidates;                         // the likeliest of these
  std::shared_ptr<const Constraint> constraint;  // or of what this allows in `state`: the heaviest group first, then the likeliest token within it
  int32_t state = 0;
  const std::vector<int32_t>* stop_ids = nullptr;  // end the answer; rising, each once; borrowed for the call. Null: none
  int tokens_left = 1;                             // most that the answer may still grow by, with this one: what a backend may compute ahead
};

/// The token that was chosen. Logits that are NaN or infinite do not count.
struct Choice {
  static constexpr int32_t kNoneCounts = -1;   // nothing that is allowed has a logit that counts
  static constexpr int32_t kNoneAllowed = -2;  // the constraint allows nothing here
  static constexpr int32_t kByCaller = -3;     // nothing was chosen here: the logits are there

  int32_t id = kNoneCounts;
  float margin = 0;  // largest allowed logit minus the second largest; +infinity when there is no second

  // Under a constraint.
  int32_t state = 0;  // where the id leads; an end token leads nowhere
  float share = 1;    // of the chosen group among all that is allowed
  bool last = false;  // no token leads on from there
};
Choice likeliest(const float* logits, const std::vector<int32_t>& candidates);

}  // namespace mipha
