/// Atomics: one lane after the other, each sees what the one before left.
#include "test/machine/addresses.h"
#include "test/machine/operators.h"

namespace mipha::machine {
namespace {

struct Exchange {
  template <class T>
  static T of(T, T value) {
    return value;
  }
};
struct Increment {
  static uint32_t of(uint32_t old, uint32_t limit) { return old >= limit ? 0 : old + 1; }
};
struct Decrement {
  static uint32_t of(uint32_t old, uint32_t limit) { return old == 0 || old > limit ? limit : old - 1; }
};

/// kOld: "d, [a], b" of atom; without: "[a], b" of red. f(old, operand row, lane) is what is stored.
template <class T, bool kOld, class F>
void atomic(Step& step, F f) {
  Row& address = step.row(kOld ? 1 : 0);
  Locator locate(step);
  for_lanes(step.lanes, [&](int l) {
    char* at = locate(l, address[l], sizeof(T), Access::kAtomic);
    T old;
    std::memcpy(&old, at, sizeof old);
    const T stored = f(old, l);
    std::memcpy(at, &stored, sizeof stored);
    if (kOld) step.row(0)[l] = put<T>(old);
    step.block.met.push_back(at);
    publish(step.block, at);
  });
}

template <class F, class T, bool kOld>
void modify(Step& step) {
  Row& value = step.row(kOld ? 2 : 1);
  atomic<T, kOld>(step, [&](T old, int l) { return F::of(old, get<T>(value[l])); });
}
template <class T>
void compare_and_swap(Step& step) {
  Row &expected = step.row(2), &value = step.row(3);
  atomic<T, true>(step, [&](T old, int l) { return old == get<T>(expected[l]) ? get<T>(value[l]) : old; });
}

template <bool kOld>
Operations make() {
  Operations all;
  all["add.s32"] = modify<Add, int32_t, kOld>;
  all["add.u32"] = modify<Add, uint32_t, kOld>;
  all["add.u64"] = modify<Add, uint64_t, kOld>;
  all["add.f32"] = modify<Add, float, kOld>;
  all["min.s32"] = modify<Minimum, int32_t, kOld>;
  all["min.u32"] = modify<Minimum, uint32_t, kOld>;
  all["min.u64"] = modify<Minimum, uint64_t, kOld>;
  all["max.s32"] = modify<Maximum, int32_t, kOld>;
  all["max.u32"] = modify<Maximum, uint32_t, kOld>;
  all["max.u64"] = modify<Maximum, uint64_t, kOld>;
  all["and.b32"] = modify<And, uint32_t, kOld>;
  all["or.b32"] = modify<Or, uint32_t, kOld>;
  all["xor.b32"] = modify<Xor, uint32_t, kOld>;
  all["inc.u32"] = modify<Increment, uint32_t, kOld>;
  all["dec.u32"] = modify<Decrement, uint32_t, kOld>;
  if (kOld) {
    all["exch.b32"] = modify<Exchange, uint32_t, true>;
    all["exch.b64"] = modify<Exchange, uint64_t, true>;
    all["cas.b32"] = compare_and_swap<uint32_t>;
    all["cas.b64"] = compare_and_swap<uint64_t>;
  }
  return all;
}

}  // namespace

bool decode_atomic(const std::vector<std::string>& parts, Instruction& in) {
  if ((parts[0] != "atom" && parts[0] != "red") || parts.size() < 3) return false;
  for (size_t i = 1; i + 2 < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part == "shared" || part == "global") {
      in.space = part == "shared" ? Space::kShared : Space::kGlobal;
    } else if (part != "relaxed" && part != "gpu") {
      return false;
    }
  }
  static const Operations with_old = make<true>(), without = make<false>();
  const Operations& all = parts[0] == "atom" ? with_old : without;
  const auto found = all.find(parts[parts.size() - 2] + "." + parts.back());
  if (found == all.end()) return false;
  in.run = found->second;
  return true;
}

}  // namespace mipha::machine
