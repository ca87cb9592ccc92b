// What answers are chosen under: a vocabulary of made-up words, and constraints that never end.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/chooser.h"

namespace mipha::cuda::bench {

struct MadeUpWords {
  std::vector<std::vector<uint8_t>> bytes;  // [count] of 1 to 9, as long as those of Phi-2 on average; every byte alone comes first
  std::vector<int32_t> sorted;              // ids by their bytes
};
MadeUpWords made_up_words(int count);

/// Any text: every word leads on from every state. What most of the work of a typed answer is.
std::shared_ptr<const Constraint> any_text();
/// One of the values "true" and "false", again and again: few words lead on.
std::shared_ptr<const Constraint> true_or_false();

}  // namespace mipha::cuda::bench
