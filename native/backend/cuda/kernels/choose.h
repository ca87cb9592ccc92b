// How the device chooses the tokens of answers under a constraint, and goes on to the next step by itself.
#pragma once

#include "backend/cuda/interface.h"
#include "backend/cuda/kernels/kernels.h"

namespace mipha::cuda {

/// The ids that have bytes, sorted by these: token i is ids[i], of bytes [begins[i], begins[i + 1]).
struct Words {
  const uint8_t* bytes = nullptr;
  const uint32_t* begins = nullptr;  // [count + 1]
  const int32_t* ids = nullptr;      // [count]
  int32_t count = 0;
};

/// A Constraint of backend/chooser.h, its groups numbered: −1 and 0 mean what they mean there, the others are below `groups`.
struct Automaton {
  const uint8_t* column = nullptr;     // [256]; null: there is no constraint
  const int32_t* next = nullptr;       // [states][columns]
  const int32_t* group = nullptr;      // [states]
  const int32_t* ends = nullptr;       // [states]
  const uint8_t* accepting = nullptr;  // [states]
  const uint8_t* decided = nullptr;    // [states]
  int32_t columns = 0, groups = 0;
};

/// An answer, as far as its next token depends on it.
struct Answer {
  Automaton automaton;
  int32_t state = 0;
  int32_t chosen_here = 0;  // 0: the host chooses, from logits
  int32_t tokens_left = 0;  // most that it may still grow by
  int32_t stop_count = 0;
  int32_t stops[kMostStops] = {};  // rising, each once
};

/// A token that the automaton takes from a state to another one.
struct Transition {
  int32_t token;  // place in Words
  int32_t target, group;
};

/// Where transitions are kept between walk() and choose().
struct Walked {
  const Words* words = nullptr;       // on the device
  int most = 0;                       // words it may have
  Transition* transitions = nullptr;  // [rows][most], in any order
  int32_t* counts = nullptr;          // [rows]
};

/// What the words lead to from the states of those of `answers` [count] that have an automaton. Counts are zero before.
cudaError_t walk(const Launch&, const Walked&, const Answer* answers, int count);

/// Chooses among them, and the stop ids where these may come, by logits [count][vocab], as a greedy Generation (engine/generation.h) does; rows
/// without an automaton are left alone. Moves each answer on to the state that its token leads to, and makes its count zero. Masses of groups are
/// integers, so that no order of additions matters.
cudaError_t choose(const Launch&, const Walked&, Answer* answers, int count, const float* logits, int vocab, Chosen* chosen);

/// What the host is told of a step.
struct Results {
  Chosen chosen[kMostSequences];
  int32_t live;  // 1: the device can go on by itself
};

/// The end of a step: makes the inputs of the next one where all answers go on, and says so in `live`.
struct Settling {
  Answer* answers = nullptr;        // [count]
  const int32_t* counts = nullptr;  // [count] transitions from the states that were reached
  Results* results = nullptr;
  int32_t* ids = nullptr;   // [count]
  Place* places = nullptr;  // [count]
  int32_t* live = nullptr;  // Launch::live of every kernel of the steps that follow
  const int64_t* turn = nullptr;
  const int64_t* ended = nullptr;  // written by the host at any time: turns up to this one do not go on
};
cudaError_t settle(const Launch&, const Settling&, int count);

}  // namespace mipha::cuda
