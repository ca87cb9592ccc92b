/// FP32 arithmetic, and the one subtraction of halves that conversions from INT8 need. Approximations are computed to the last bit here; a device may
/// be off by what PTX allows it (README).
#include <cmath>

#include "test/machine/lanes.h"

namespace mipha::machine {
namespace {

struct Add {
  static float of(float a, float b) { return a + b; }
};
struct Subtract {
  static float of(float a, float b) { return a - b; }
};
struct Multiply {
  static float of(float a, float b) { return a * b; }
};
struct Divide {
  static float of(float a, float b) { return a / b; }
};
struct Minimum {
  static float of(float a, float b) { return std::fmin(a, b); }
};  // the number, where one is NaN
struct Maximum {
  static float of(float a, float b) { return std::fmax(a, b); }
};
struct CopySign {
  static float of(float sign, float value) { return std::copysign(value, sign); }
};
struct Negate {
  static float of(float a) { return -a; }
};
struct Absolute {
  static float of(float a) { return std::fabs(a); }
};
struct Reciprocal {
  static float of(float a) { return 1 / a; }
};
struct SquareRoot {
  static float of(float a) { return std::sqrt(a); }
};
struct ReciprocalRoot {
  static float of(float a) { return static_cast<float>(1 / std::sqrt(static_cast<double>(a))); }
};
struct Exp2 {
  static float of(float a) { return std::exp2(a); }
};
struct Log2 {
  static float of(float a) { return std::log2(a); }
};
struct Tanh {
  static float of(float a) { return std::tanh(a); }
};

float flush(float value) {
  return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value;
}
template <class F>
struct Flushed {  // .ftz
  static float of(float a) { return flush(F::of(flush(a))); }
};

struct FusedNearest {
  static float of(float a, float b, float c) { return std::fma(a, b, c); }
};
struct FusedDown {
  static float of(float a, float b, float c) {
    const float nearest = std::fma(a, b, c);
    // a * b is exact in double, and the sum's error is what TwoSum says it is.
    const double product = static_cast<double>(a) * b, sum = product + c, back = sum - product, error = (product - (sum - back)) + (c - back);
    const bool above = nearest > sum || (nearest == sum && error < 0);
    return above ? std::nextafter(nearest, -INFINITY) : nearest;
  }
};

struct Equal {
  static bool of(float a, float b) { return a == b; }
};
struct NotEqual {
  static bool of(float a, float b) { return a < b || a > b; }
};
struct Less {
  static bool of(float a, float b) { return a < b; }
};
struct LessEqual {
  static bool of(float a, float b) { return a <= b; }
};
struct Greater {
  static bool of(float a, float b) { return a > b; }
};
struct GreaterEqual {
  static bool of(float a, float b) { return a >= b; }
};
struct Ordered {
  static bool of(float a, float b) { return a == a && b == b; }
};

template <class F, bool kOrUnordered>
void compare(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2);
  for_lanes(step.lanes, [&](int l) {
    const float x = get<float>(a[l]), y = get<float>(b[l]);
    to[l] = F::of(x, y) || (kOrUnordered && !Ordered::of(x, y));
  });
}
template <class F>
void add_comparison(Operations& all, const std::string& name) {
  all["setp." + name + ".f32"] = compare<F, false>;
  all["setp." + name + "u.f32"] = compare<F, true>;
}

struct SubtractHalves {  // in FP32 first: rounding twice is rounding once, 24 bits are twice 11 and two more
  static uint32_t of(uint32_t a, uint32_t b) {
    const auto half = [&](int shift) {
      return float_to_half(half_to_float(static_cast<uint16_t>(a >> shift)) - half_to_float(static_cast<uint16_t>(b >> shift)));
    };
    return uint32_t{half(16)} << 16 | half(0);
  }
};

struct Never {
  static bool of(float, float) { return false; }
};

}  // namespace

void add_float(Operations& all) {
  for (const char* rounding : {"", ".rn"}) {
    all[std::string("add") + rounding + ".f32"] = binary<Add, float>;
    all[std::string("sub") + rounding + ".f32"] = binary<Subtract, float>;
    all[std::string("mul") + rounding + ".f32"] = binary<Multiply, float>;
  }
  for (const char* how : {"rn", "approx", "full"}) all[std::string("div.") + how + ".f32"] = binary<Divide, float>;
  all["min.f32"] = binary<Minimum, float>;
  all["max.f32"] = binary<Maximum, float>;
  all["copysign.f32"] = binary<CopySign, float>;
  all["neg.f32"] = unary<Negate, float>;
  all["abs.f32"] = unary<Absolute, float>;
  all["fma.rn.f32"] = ternary<FusedNearest, float>;
  all["fma.rm.f32"] = ternary<FusedDown, float>;
  all["sqrt.rn.f32"] = unary<SquareRoot, float>;
  all["sqrt.approx.f32"] = unary<SquareRoot, float>;
  all["rcp.rn.f32"] = unary<Reciprocal, float>;
  all["rcp.approx.f32"] = unary<Reciprocal, float>;
  all["rcp.approx.ftz.f32"] = unary<Flushed<Reciprocal>, float>;
  all["rsqrt.approx.f32"] = unary<ReciprocalRoot, float>;
  all["rsqrt.approx.ftz.f32"] = unary<Flushed<ReciprocalRoot>, float>;
  all["ex2.approx.f32"] = unary<Exp2, float>;
  all["ex2.approx.ftz.f32"] = unary<Flushed<Exp2>, float>;
  all["lg2.approx.f32"] = unary<Log2, float>;
  all["lg2.approx.ftz.f32"] = unary<Flushed<Log2>, float>;
  all["tanh.approx.f32"] = unary<Tanh, float>;
  add_comparison<Equal>(all, "eq");
  add_comparison<NotEqual>(all, "ne");
  add_comparison<Less>(all, "lt");
  add_comparison<LessEqual>(all, "le");
  add_comparison<Greater>(all, "gt");
  add_comparison<GreaterEqual>(all, "ge");
  all["sub.f16x2"] = binary<SubtractHalves, uint32_t>;
  all["setp.num.f32"] = compare<Ordered, false>;
  all["setp.nan.f32"] = compare<Never, true>;
}

}  // namespace mipha::machine
