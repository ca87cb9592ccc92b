// walk, choose and settle: the next token under a constraint, and the step after it.
#include "backend/cuda/kernels/choose.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFu;
constexpr int kWalkThreads = 256, kChooseThreads = 1024;
constexpr int kWarps = kChooseThreads / kLanes;
static_assert(kWarps == kLanes);

/// A thread per token, a row of blocks per answer. Most tokens end at their first byte.
__global__ void __launch_bounds__(kWalkThreads) walk_tokens(const int32_t* live, const Walked walked, const Answer* answers) {
  if (!is_live(live)) return;
  const Words words = *walked.words;
  if (blockIdx.x * kWalkThreads >= words.count) return;
  const Automaton automaton = answers[blockIdx.y].automaton;
  if (automaton.column == nullptr) return;
  uint8_t* const column = shared<uint8_t>(0);
  column[threadIdx.x] = automaton.column[threadIdx.x];
  __syncthreads();
  const int32_t state = answers[blockIdx.y].state;
  const int32_t token = static_cast<int32_t>(blockIdx.x * kWalkThreads + threadIdx.x);
  int32_t at = state, group = automaton.group[state];
  bool taken = token < words.count;
  if (taken) {
    const uint32_t end = words.begins[token + 1];
    for (uint32_t byte = words.begins[token]; byte < end; ++byte) {
      const int32_t target = automaton.next[int64_t{at} * automaton.columns + column[words.bytes[byte]]];
      if (target < 0) {
        taken = false;
        break;
      }
      const int32_t ends = automaton.ends[at], of_target = automaton.group[target];
      // Into fixed text: what ended there, or in the text before it, is what was chosen.
      group = of_target != 0 ? of_target : ends != 0 ? ends : max(group, 0);
      at = target;
    }
    taken = taken && at != state;
  }
  const unsigned takers = __ballot_sync(kAll, taken), lane = threadIdx.x % kLanes;
  if (takers == 0) return;
  int32_t first = 0;
  if (lane == 0) first = atomicAdd(walked.counts + blockIdx.y, __popc(takers));
  first = __shfl_sync(kAll, first, 0);
  if (taken) walked.transitions[int64_t{blockIdx.y} * walked.most + first + __popc(takers & ((1u << lane) - 1))] = {token, at, group};
}

/// The largest logit and the second, of equal ones the first in order.
struct Best {
  float first, second;
  int32_t order;
  int32_t at;  // among the candidates, or why there is none: a Chosen::id below 0

  __device__ __forceinline__ void meet(const Best& other) {
    if (other.at < 0 || at < 0) {
      if (other.at > at) *this = other;
      return;
    }
    const bool theirs = other.first > first || (other.first == first && other.order < order);
    second = theirs ? fmaxf(first, other.second) : fmaxf(second, other.first);
    if (theirs) first = other.first, order = other.order, at = other.at;
  }
  __device__ __forceinline__ Best from(int lanes) const {
    return {__shfl_xor_sync(kAll, first, lanes), __shfl_xor_sync(kAll, second, lanes), __shfl_xor_sync(kAll, order, lanes),
            __shfl_xor_sync(kAll, at, lanes)};
  }
};

struct Mass {
  unsigned long long sum;

  __device__ __forceinline__ void meet(const Mass& other) { sum += other.sum; }
  __device__ __forceinline__ Mass from(int lanes) const { return {__shfl_xor_sync(kAll, sum, lanes)}; }
};

/// The heaviest group, of equal ones the one whose first member stands first.
struct Heaviest {
  unsigned long long mass;
  int32_t order;
  int32_t group;  // −1: one token alone, `at`
  int32_t at;

  __device__ __forceinline__ void meet(const Heaviest& other) {
    if (other.mass > mass || (other.mass == mass && other.order < order)) *this = other;
  }
  __device__ __forceinline__ Heaviest from(int lanes) const {
    return {__shfl_xor_sync(kAll, mass, lanes), __shfl_xor_sync(kAll, order, lanes), __shfl_xor_sync(kAll, group, lanes),
            __shfl_xor_sync(kAll, at, lanes)};
  }
};

/// Of all threads, for all threads.
template <class T>
__device__ __forceinline__ T over_block(T value, T* of_warps) {
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) value.meet(value.from(lanes));
  __syncthreads();
  if (threadIdx.x % kLanes == 0) of_warps[threadIdx.x / kLanes] = value;
  __syncthreads();
  value = of_warps[threadIdx.x % kLanes];
#pragma unroll
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) value.meet(value.from(lanes));
  return value;
}

struct Candidate {
  int32_t id, order, group;
  float logit;
  bool allowed;
};

/// What may come next: transitions, then the stop ids where the state accepts.
struct Offer {
  const Words words;
  const Answer* answer;
  const Transition* transitions;
  const float* logits;
  int32_t transition_count, count, end_group;

  __device__ __forceinline__ Candidate operator[](int32_t i) const {
    if (i >= transition_count) {
      const int32_t stop = i - transition_count, id = answer->stops[stop];
      return {id, words.count + stop, end_group, logits[id], true};
    }
    const Transition transition = transitions[i];
    const int32_t id = words.ids[transition.token];
    bool allowed = true;
    for (int32_t stop = 0; stop < answer->stop_count; ++stop) allowed = allowed && answer->stops[stop] != id;
    return {id, transition.token, transition.group, logits[id], allowed};
  }
};

/// e^(logit − largest) with 40 bits behind the point: 2^24 of them add up without carrying over.
constexpr float kOne = 0x1p40f;
__device__ __forceinline__ unsigned long long mass_of(float logit, float largest) {
  return __float2ull_rn(expf(logit - largest) * kOne);
}

/// Sums by group. A thread adds up its own as long as the group stays the same, which it mostly does.
struct Groups {
  unsigned long long* mass;  // [kMostGroups + 1]
  int32_t* first;            // [kMostGroups + 1] order of the first member

  __device__ __forceinline__ void clear(int32_t count) const {
    for (int32_t i = threadIdx.x; i < count; i += kChooseThreads) mass[i] = 0, first[i] = INT32_MAX;
  }
  __device__ __forceinline__ void add(int32_t group, unsigned long long sum, int32_t order) const {
    if (group < 0) return;
    atomicAdd(mass + group, sum);
    atomicMin(first + group, order);
  }
};
constexpr size_t kGroupBytes = rounded_up((kMostGroups + 1) * (sizeof(unsigned long long) + sizeof(int32_t)), 16);
constexpr size_t kChooseShared = kGroupBytes + kWarps * sizeof(Heaviest);

/// The token of the heaviest group, and that group's mass.
__device__ __forceinline__ Best choose_grouped(const Offer& offer, float largest, int32_t groups, unsigned long long* mass) {
  Groups sums{shared<unsigned long long>(0), shared<int32_t>((kMostGroups + 1) * sizeof(unsigned long long))};
  sums.clear(groups);
  __syncthreads();
  Heaviest heaviest{0, INT32_MAX, -1, -1};
  int32_t open = -1, open_order = INT32_MAX;
  unsigned long long open_mass = 0;
  for (int32_t i = threadIdx.x; i < offer.count; i += kChooseThreads) {
    const Candidate candidate = offer[i];
    if (!candidate.allowed || !isfinite(candidate.logit)) continue;
    const unsigned long long own = mass_of(candidate.logit, largest);
    if (candidate.group == -1) {
      heaviest.meet({own, candidate.order, -1, i});
      continue;
    }
    if (candidate.group != open) {
      sums.add(open, open_mass, open_order);
      open = candidate.group;
      open_mass = 0;
      open_order = INT32_MAX;
    }
    open_mass += own;
    open_order = min(open_order, candidate.order);
  }
  sums.add(open, open_mass, open_order);
  __syncthreads();
  for (int32_t group = threadIdx.x; group < groups; group += kChooseThreads) heaviest.meet({sums.mass[group], sums.first[group], group, -1});
  heaviest = over_block(heaviest, shared<Heaviest>(kGroupBytes));
  *mass = heaviest.mass;
  if (heaviest.group < 0) return {0, 0, 0, heaviest.at};

  Best best{-INFINITY, -INFINITY, INT32_MAX, -1};
  for (int32_t i = threadIdx.x; i < offer.count; i += kChooseThreads) {
    const Candidate candidate = offer[i];
    if (candidate.allowed && candidate.group == heaviest.group && isfinite(candidate.logit)) {
      best.meet({candidate.logit, -INFINITY, candidate.order, i});
    }
  }
  return over_block(best, shared<Best>(kGroupBytes));
}

/// A block per answer.
__global__ void __launch_bounds__(kChooseThreads, 1)
    choose_tokens(const int32_t* live, const Walked walked, Answer* answers, const float* logits, int vocab, Chosen* chosen) {
  if (!is_live(live)) return;
  const int row = blockIdx.x;
  Answer* const answer = answers + row;
  if (answer->automaton.column == nullptr) return;
  const int32_t state = answer->state, groups = answer->automaton.groups, ends = answer->automaton.ends[state];
  const bool accepting = answer->automaton.accepting[state] != 0, grouped = answer->automaton.group[state] >= 0;
  const int32_t count = walked.counts[row];
  // End tokens stand together where no value ends.
  const Offer offer{*walked.words,
                    answer,
                    walked.transitions + int64_t{row} * walked.most,
                    logits + int64_t{row} * vocab,
                    count,
                    count + (accepting ? answer->stop_count : 0),
                    ends != 0 ? ends : groups};

  Best best{-INFINITY, -INFINITY, INT32_MAX, Choice::kNoneAllowed};
  for (int32_t i = threadIdx.x; i < offer.count; i += kChooseThreads) {
    const Candidate candidate = offer[i];
    if (!candidate.allowed) continue;
    best.meet(isfinite(candidate.logit) ? Best{candidate.logit, -INFINITY, candidate.order, i} : Best{0, 0, 0, Choice::kNoneCounts});
  }
  best = over_block(best, shared<Best>(kGroupBytes));
  const float margin = best.first - best.second;
  Chosen result{best.at, 0, state, 1, 0};
  if (best.at >= 0) {
    const float largest = best.first;
    Mass all{0};
    for (int32_t i = threadIdx.x; i < offer.count; i += kChooseThreads) {
      const Candidate candidate = offer[i];
      if (candidate.allowed && isfinite(candidate.logit)) all.sum += mass_of(candidate.logit, largest);
    }
    all = over_block(all, shared<Mass>(kGroupBytes));
    unsigned long long mass = mass_of(largest, largest);
    if (grouped) best = choose_grouped(offer, largest, groups + 1, &mass);
    result.id = offer[best.at].id;
    result.margin = margin;
    if (best.at < count) result.state = offer.transitions[best.at].target;
    result.share = fminf(__ull2float_rn(mass) / __ull2float_rn(all.sum), 1);
  } else {
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  chosen[row] = result;
  answer->state = result.state;
  walked.counts[row] = 0;
}

/// One warp, a lane per answer.
__global__ void __launch_bounds__(kLanes) settle_step(const int32_t* live, const Settling settling, int count) {
  if (!is_live(live)) return;
  const int row = threadIdx.x;
  bool over = false;
  if (row < count) {
    Answer& answer = settling.answers[row];
    Chosen& chosen = settling.results->chosen[row];
    const int32_t id = chosen.id;
    over = answer.chosen_here == 0 || id < 0 || answer.tokens_left <= 1;
    for (int32_t stop = 0; stop < answer.stop_count; ++stop) over = over || answer.stops[stop] == id;
    if (answer.automaton.column != nullptr) {
      const bool last = settling.counts[row] == 0;
      chosen.last = last;
      over = over || last || answer.automaton.decided[answer.state] != 0;
    }
    settling.ids[row] = id;
    ++settling.places[row].position;
    --answer.tokens_left;
  }
  const bool ended = __ldcv(settling.ended) >= *settling.turn;
  const int32_t goes_on = __ballot_sync(kAll, over) == 0 && !ended;
  __syncwarp();  // all have read whether they are live
  if (row == 0) {
    *settling.live = goes_on;
    settling.results->live = goes_on;
  }
}

}  // namespace

cudaError_t walk(const Launch& launch, const Walked& walked, const Answer* answers, int count) {
  const dim3 grid(static_cast<unsigned>((walked.most + kWalkThreads - 1) / kWalkThreads), static_cast<unsigned>(count));
  return start(walk_tokens, grid, kWalkThreads, 256, launch.stream, launch.live, walked, answers);
}

cudaError_t choose(const Launch& launch, const Walked& walked, Answer* answers, int count, const float* logits, int vocab, Chosen* chosen) {
  return start(choose_tokens, static_cast<unsigned>(count), kChooseThreads, kChooseShared, launch.stream, launch.live, walked, answers, logits, vocab,
               chosen);
}

cudaError_t settle(const Launch& launch, const Settling& settling, int count) {
  return start(settle_step, 1, kLanes, 0, launch.stream, launch.live, settling, count);
}

}  // namespace mipha::cuda
