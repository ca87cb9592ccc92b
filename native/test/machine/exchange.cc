/// What lanes of a warp tell each other: shuffles, votes, reductions, __syncwarp. None but the last orders memory.
#include "test/machine/lanes.h"
#include "test/machine/operators.h"

namespace mipha::machine {
namespace {

/// Calls f(members) for every group of lanes that name the same members: each must be complete.
template <class F>
void for_groups(Step& step, Row& members, F f) {
  for (uint32_t rest = step.lanes; rest != 0;) {
    const uint32_t mask = static_cast<uint32_t>(members[__builtin_ctz(rest)]);
    uint32_t group = 0;
    for_lanes(rest, [&](int l) { group |= static_cast<uint32_t>(members[l]) == mask ? 1u << l : 0; });
    if (group != mask) fault("for the lanes %08x, reached together by %08x only", mask, group);
    f(mask);
    rest &= ~group;
  }
}

enum Mode { kIndex, kUp, kDown, kXor };

/// "d|p, a, b, c, members": c is the clamp and, in bits 8 to 12, the mask of the segment. p: whether the source lies in the segment.
template <Mode mode>
void shuffle(Step& step) {
  const size_t predicate = step.instruction.rows.size() == 6;
  Row &source = step.row(1 + predicate), &operand = step.row(2 + predicate), &control = step.row(3 + predicate), &members = step.row(4 + predicate);
  for_groups(step, members, [&](uint32_t mask) {
    Row old, by;
    std::memcpy(old, source, sizeof old);
    std::memcpy(by, operand, sizeof by);
    for_lanes(mask, [&](int l) {
      const int amount = static_cast<int>(by[l] & 31), clamp = static_cast<int>(control[l] & 31), segment = static_cast<int>(control[l] >> 8 & 31);
      const int last = (l & segment) | (clamp & ~segment), first = l & segment;
      int from = mode == kIndex ? first | (amount & ~segment) : mode == kUp ? l - amount : mode == kDown ? l + amount : l ^ amount;
      const bool inside = mode == kUp ? from >= last : from <= last;
      if (!inside) from = l;
      if ((mask >> from & 1) == 0) fault("lane %d reads lane %d, which is not among the members %08x", l, from, mask);
      step.row(0)[l] = static_cast<uint32_t>(old[from]);
      if (predicate) step.row(1)[l] = inside;
    });
  });
}

uint32_t ballot_of(const Row& predicate, uint32_t mask) {
  uint32_t set = 0;
  for_lanes(mask, [&](int l) { set |= (predicate[l] & 1) != 0 ? 1u << l : 0; });
  return set;
}
struct Ballot {
  static uint32_t of(uint32_t set, uint32_t) { return set; }
};
struct Any {
  static uint32_t of(uint32_t set, uint32_t) { return set != 0; }
};
struct All {
  static uint32_t of(uint32_t set, uint32_t mask) { return set == mask; }
};
struct Uniform {
  static uint32_t of(uint32_t set, uint32_t mask) { return set == mask || set == 0; }
};
template <class F>
void vote(Step& step) {
  for_groups(step, step.row(2), [&](uint32_t mask) {
    const uint32_t result = F::of(ballot_of(step.row(1), mask), mask);
    for_lanes(mask, [&](int l) { step.row(0)[l] = result; });
  });
}

template <class F, class T>
void reduce(Step& step) {
  for_groups(step, step.row(2), [&](uint32_t mask) {
    const Row& source = step.row(1);
    T result = get<T>(source[__builtin_ctz(mask)]);
    for_lanes(mask & (mask - 1), [&](int l) { result = F::of(result, get<T>(source[l])); });
    for_lanes(mask, [&](int l) { step.row(0)[l] = put<T>(result); });
  });
}

void active_mask(Step& step) {
  for_lanes(step.lanes, [&](int l) { step.row(0)[l] = step.lanes; });
}

void sync_warp(Step& step) {
  step.check_all_lanes();
  const uint32_t members = static_cast<uint32_t>(step.row(0)[__builtin_ctz(step.lanes)]);
  if ((members & step.warp.live) != step.warp.live) fault("__syncwarp of the lanes %08x only is not modelled", members);
  ++step.warp.sync;
}

}  // namespace

void Step::check_all_lanes() const {
  if (lanes != warp.live) fault("reached by the lanes %08x of %08x", lanes, warp.live);
}

void add_exchange(Operations& all) {
  all["shfl.sync.idx.b32"] = shuffle<kIndex>;
  all["shfl.sync.up.b32"] = shuffle<kUp>;
  all["shfl.sync.down.b32"] = shuffle<kDown>;
  all["shfl.sync.bfly.b32"] = shuffle<kXor>;
  all["vote.sync.ballot.b32"] = vote<Ballot>;
  all["vote.sync.any.pred"] = vote<Any>;
  all["vote.sync.all.pred"] = vote<All>;
  all["vote.sync.uni.pred"] = vote<Uniform>;
  for (const char* type : {"s32", "u32"}) all[std::string("redux.sync.add.") + type] = reduce<Add, uint32_t>;
  all["redux.sync.and.b32"] = reduce<And, uint32_t>;
  all["redux.sync.or.b32"] = reduce<Or, uint32_t>;
  all["redux.sync.xor.b32"] = reduce<Xor, uint32_t>;
  all["redux.sync.min.s32"] = reduce<Minimum, int32_t>;
  all["redux.sync.min.u32"] = reduce<Minimum, uint32_t>;
  all["redux.sync.max.s32"] = reduce<Maximum, int32_t>;
  all["redux.sync.max.u32"] = reduce<Maximum, uint32_t>;
  all["activemask.b32"] = active_mask;
  all["bar.warp.sync"] = sync_warp;
}

}  // namespace mipha::machine
