/// Values of registers by type, and operations over the lanes of a step.
#pragma once

#include <cstring>
#include <type_traits>

#include "test/machine/execution.h"

namespace mipha::machine {

template <class T>
T get(uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
uint64_t put(T value) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}

/// F has a member `T of(T, ...)` or a template of it; T is the type of operands and result.
template <class F, class T>
void unary(Step& step) {
  Row &to = step.row(0), &a = step.row(1);
  for_lanes(step.lanes, [&](int l) { to[l] = put<T>(F::of(get<T>(a[l]))); });
}
template <class F, class T>
void binary(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2);
  for_lanes(step.lanes, [&](int l) { to[l] = put<T>(F::of(get<T>(a[l]), get<T>(b[l]))); });
}
template <class F, class T>
void ternary(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &c = step.row(3);
  for_lanes(step.lanes, [&](int l) { to[l] = put<T>(F::of(get<T>(a[l]), get<T>(b[l]), get<T>(c[l]))); });
}

/// What a load of a type leaves in a register, which may be wider: signed types are extended.
inline uint64_t extended(uint64_t bits, char type, unsigned width) {
  if (width == 64) return bits;
  const uint64_t mask = (uint64_t{1} << width) - 1, low = bits & mask;
  return type == 's' && (low >> (width - 1) & 1) != 0 ? low | ~mask : low;
}

/// Integers wrap around.
template <class T>
std::make_unsigned_t<T> bits_of(T value) {
  return static_cast<std::make_unsigned_t<T>>(value);
}

float half_to_float(uint16_t half);
uint16_t float_to_half(float value);  // to nearest even

}  // namespace mipha::machine
