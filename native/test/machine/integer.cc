/// Integer arithmetic and comparison.
#include "test/machine/lanes.h"
#include "test/machine/operators.h"

namespace mipha::machine {
namespace {

// Computed in 64 bits without a sign: the low bits of sums and products are the same for both kinds, and nothing overflows.
struct Subtract {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
  }
};
struct MultiplyLow {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
  }
};
struct MultiplyAddLow {
  template <class T>
  static T of(T a, T b, T c) {
    return Add::of(MultiplyLow::of(a, b), c);
  }
};
template <class T>
using Wide = std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>,
                                std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;
struct MultiplyHigh {
  template <class T>
  static T of(T a, T b) {
    return static_cast<T>(Wide<T>(a) * Wide<T>(b) >> (8 * sizeof(T)));
  }
};
struct Divide {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) fault("integer division by zero");
    return b == static_cast<T>(-1) && std::is_signed_v<T> ? Subtract::of(T{0}, a) : static_cast<T>(a / b);
  }
};
struct Remainder {
  template <class T>
  static T of(T a, T b) {
    if (b == 0) fault("integer division by zero");
    return b == static_cast<T>(-1) && std::is_signed_v<T> ? T{0} : static_cast<T>(a % b);
  }
};
struct Negate {
  template <class T>
  static T of(T a) {
    return Subtract::of(T{0}, a);
  }
};
struct Absolute {
  template <class T>
  static T of(T a) {
    return a < 0 ? Negate::of(a) : a;
  }
};

/// Product of two registers in one twice as wide; with a fourth operand, plus that.
template <class T, class Twice, bool kAdd>
void multiply_wide(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &c = step.row(kAdd ? 3 : 1);
  for_lanes(step.lanes, [&](int l) {
    const Twice product = static_cast<Twice>(Twice{get<T>(a[l])} * Twice{get<T>(b[l])});
    to[l] = put<Twice>(kAdd ? Add::of(product, get<Twice>(c[l])) : product);
  });
}

struct Equal {
  template <class T>
  static bool of(T a, T b) {
    return a == b;
  }
};
struct NotEqual {
  template <class T>
  static bool of(T a, T b) {
    return a != b;
  }
};
struct Less {
  template <class T>
  static bool of(T a, T b) {
    return a < b;
  }
};
struct LessEqual {
  template <class T>
  static bool of(T a, T b) {
    return a <= b;
  }
};
struct Greater {
  template <class T>
  static bool of(T a, T b) {
    return a > b;
  }
};
struct GreaterEqual {
  template <class T>
  static bool of(T a, T b) {
    return a >= b;
  }
};

template <class F, class T>
void compare(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2);
  for_lanes(step.lanes, [&](int l) { to[l] = F::of(get<T>(a[l]), get<T>(b[l])); });
}

template <class T>
void add_comparisons(Operations& all, const std::string& type) {
  all["setp.eq." + type] = compare<Equal, T>;
  all["setp.ne." + type] = compare<NotEqual, T>;
  if (type[0] == 'b') return;
  for (const char* name : {"lt", "lo"}) all[std::string("setp.") + name + "." + type] = compare<Less, T>;
  for (const char* name : {"le", "ls"}) all[std::string("setp.") + name + "." + type] = compare<LessEqual, T>;
  for (const char* name : {"gt", "hi"}) all[std::string("setp.") + name + "." + type] = compare<Greater, T>;
  for (const char* name : {"ge", "hs"}) all[std::string("setp.") + name + "." + type] = compare<GreaterEqual, T>;
}

template <class T>
void add_type(Operations& all, const std::string& type) {
  all["add." + type] = binary<Add, T>;
  all["sub." + type] = binary<Subtract, T>;
  all["mul.lo." + type] = binary<MultiplyLow, T>;
  all["mul.hi." + type] = binary<MultiplyHigh, T>;
  all["mad.lo." + type] = ternary<MultiplyAddLow, T>;
  all["div." + type] = binary<Divide, T>;
  all["rem." + type] = binary<Remainder, T>;
  all["min." + type] = binary<Minimum, T>;
  all["max." + type] = binary<Maximum, T>;
  add_comparisons<T>(all, type);
  if constexpr (std::is_signed_v<T>) {
    all["neg." + type] = unary<Negate, T>;
    all["abs." + type] = unary<Absolute, T>;
  }
}

template <class T, class Twice>
void add_wide(Operations& all, const std::string& type) {
  all["mul.wide." + type] = multiply_wide<T, Twice, false>;
  all["mad.wide." + type] = multiply_wide<T, Twice, true>;
}

template <class A, class B>
void dot4(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &c = step.row(3);
  for_lanes(step.lanes, [&](int l) {
    uint32_t sum = get<uint32_t>(c[l]);
    for (int i = 0; i < 32; i += 8) sum += static_cast<uint32_t>(int{static_cast<A>(a[l] >> i)} * int{static_cast<B>(b[l] >> i)});
    to[l] = sum;
  });
}

}  // namespace

void add_integer(Operations& all) {
  add_type<int16_t>(all, "s16");
  add_type<uint16_t>(all, "u16");
  add_type<int32_t>(all, "s32");
  add_type<uint32_t>(all, "u32");
  add_type<int64_t>(all, "s64");
  add_type<uint64_t>(all, "u64");
  add_comparisons<uint16_t>(all, "b16");
  add_comparisons<uint32_t>(all, "b32");
  add_comparisons<uint64_t>(all, "b64");
  add_wide<int16_t, int32_t>(all, "s16");
  add_wide<uint16_t, uint32_t>(all, "u16");
  add_wide<int32_t, int64_t>(all, "s32");
  add_wide<uint32_t, uint64_t>(all, "u32");
  all["dp4a.s32.s32"] = dot4<int8_t, int8_t>;
  all["dp4a.s32.u32"] = dot4<int8_t, uint8_t>;
  all["dp4a.u32.s32"] = dot4<uint8_t, int8_t>;
  all["dp4a.u32.u32"] = dot4<uint8_t, uint8_t>;
}

}  // namespace mipha::machine
