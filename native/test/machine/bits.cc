/// Logic, shifts and fields of bits.
#include <algorithm>

#include "test/machine/lanes.h"
#include "test/machine/operators.h"

namespace mipha::machine {
namespace {

struct Not {
  template <class T>
  static T of(T a) {
    return static_cast<T>(~a);
  }
};

struct NotPredicate {
  static uint8_t of(uint8_t a) { return a ^ 1; }
};

/// The amount is a 32-bit register whatever is shifted; amounts past the width shift everything out.
template <class T>
void shift_left(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &by = step.row(2);
  for_lanes(step.lanes, [&](int l) {
    const uint32_t amount = get<uint32_t>(by[l]);
    to[l] = amount >= 8 * sizeof(T) ? 0 : put<T>(static_cast<T>(uint64_t{get<T>(a[l])} << amount));
  });
}
template <class T>
void shift_right(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &by = step.row(2);
  constexpr uint32_t kBits = 8 * sizeof(T);
  for_lanes(step.lanes, [&](int l) {
    const uint32_t amount = get<uint32_t>(by[l]);
    const T all_out = std::is_signed_v<T> && get<T>(a[l]) < 0 ? static_cast<T>(-1) : T{0};
    to[l] = put<T>(amount >= kBits ? all_out : static_cast<T>(get<T>(a[l]) >> amount));
  });
}

/// Of the 64 bits c:b, 32.
template <bool kLeft, bool kWrap>
void funnel(Step& step) {
  Row &to = step.row(0), &low = step.row(1), &high = step.row(2), &by = step.row(3);
  for_lanes(step.lanes, [&](int l) {
    const uint32_t given = get<uint32_t>(by[l]), amount = kWrap ? given & 31 : std::min(given, 32u);
    const uint64_t both = uint64_t{get<uint32_t>(high[l])} << 32 | get<uint32_t>(low[l]);
    to[l] = static_cast<uint32_t>(both >> (kLeft ? 32 - amount : amount));
  });
}

/// Bytes of a and b, chosen by nibbles; the nibble's high bit repeats the byte's sign.
void permute(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &selector = step.row(3);
  for_lanes(step.lanes, [&](int l) {
    const uint64_t both = uint64_t{get<uint32_t>(b[l])} << 32 | get<uint32_t>(a[l]);
    uint32_t chosen = 0;
    for (int i = 0; i < 4; ++i) {
      const uint32_t nibble = selector[l] >> (4 * i) & 15, byte = both >> (nibble % 8 * 8) & 0xFF;
      chosen |= (nibble < 8 ? byte : byte & 0x80 ? 0xFF : 0) << (8 * i);
    }
    to[l] = chosen;
  });
}

uint32_t field(uint64_t position, uint64_t length) {
  position &= 0xFF;
  length &= 0xFF;
  if (position > 31) return 0;
  return static_cast<uint32_t>(((length > 31 ? uint64_t{1} << 32 : uint64_t{1} << length) - 1) << position);
}
void insert(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &position = step.row(3), &length = step.row(4);
  for_lanes(step.lanes, [&](int l) {
    const uint32_t mask = field(position[l], length[l]);
    to[l] = (static_cast<uint32_t>(uint64_t{get<uint32_t>(a[l])} << (position[l] & 31)) & mask) | (get<uint32_t>(b[l]) & ~mask);
  });
}
/// With the sign of the field's highest bit for signed types.
template <class T>
void extract(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &from = step.row(2), &length = step.row(3);
  for_lanes(step.lanes, [&](int l) {
    const uint32_t position = from[l] & 0xFF, count = std::min<uint32_t>(length[l] & 0xFF, 32);
    const int64_t value = std::is_signed_v<T> ? int64_t{get<int32_t>(a[l])} : int64_t{get<uint32_t>(a[l])};
    const uint64_t moved = static_cast<uint64_t>(value >> std::min(position, 63u));
    const uint64_t mask = (uint64_t{1} << count) - 1;
    const bool negative = std::is_signed_v<T> && count > 0 && (moved >> (count - 1) & 1);
    to[l] = static_cast<uint32_t>(negative ? moved | ~mask : moved & mask);
  });
}

void logic3(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &c = step.row(3), &table = step.row(4);
  for_lanes(step.lanes, [&](int l) {
    uint32_t out = 0;
    for (int i = 0; i < 32; ++i) out |= static_cast<uint32_t>(table[l] >> ((a[l] >> i & 1) * 4 + (b[l] >> i & 1) * 2 + (c[l] >> i & 1)) & 1) << i;
    to[l] = out;
  });
}

struct CountOnes {
  static uint32_t of(uint32_t a) { return static_cast<uint32_t>(__builtin_popcount(a)); }
};
struct CountLeadingZeros {
  static uint32_t of(uint32_t a) { return a == 0 ? 32 : static_cast<uint32_t>(__builtin_clz(a)); }
};
struct Reverse {
  static uint32_t of(uint32_t a) {
    uint32_t out = 0;
    for (int i = 0; i < 32; ++i) out |= (a >> i & 1) << (31 - i);
    return out;
  }
};

template <class T>
void add_width(Operations& all, const std::string& bits) {
  using Signed = std::make_signed_t<T>;
  all["and.b" + bits] = binary<And, T>;
  all["or.b" + bits] = binary<Or, T>;
  all["xor.b" + bits] = binary<Xor, T>;
  all["not.b" + bits] = unary<Not, T>;
  all["shl.b" + bits] = shift_left<T>;
  for (const char* type : {"shr.u", "shr.b"}) all[type + bits] = shift_right<T>;
  all["shr.s" + bits] = shift_right<Signed>;
}

}  // namespace

void add_bits(Operations& all) {
  add_width<uint16_t>(all, "16");
  add_width<uint32_t>(all, "32");
  add_width<uint64_t>(all, "64");
  all["and.pred"] = binary<And, uint8_t>;
  all["or.pred"] = binary<Or, uint8_t>;
  all["xor.pred"] = binary<Xor, uint8_t>;
  all["not.pred"] = unary<NotPredicate, uint8_t>;
  all["shf.l.wrap.b32"] = funnel<true, true>;
  all["shf.l.clamp.b32"] = funnel<true, false>;
  all["shf.r.wrap.b32"] = funnel<false, true>;
  all["shf.r.clamp.b32"] = funnel<false, false>;
  all["prmt.b32"] = permute;
  all["bfi.b32"] = insert;
  all["bfe.u32"] = extract<uint32_t>;
  all["bfe.s32"] = extract<int32_t>;
  all["lop3.b32"] = logic3;
  all["popc.b32"] = unary<CountOnes, uint32_t>;
  all["clz.b32"] = unary<CountLeadingZeros, uint32_t>;
  all["brev.b32"] = unary<Reverse, uint32_t>;
}

}  // namespace mipha::machine
