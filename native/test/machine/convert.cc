/// Conversions between integers, FP32 and FP16.
#include <algorithm>
#include <cmath>
#include <limits>

#include "test/machine/lanes.h"

namespace mipha::machine {

float half_to_float(uint16_t half) {
  const uint32_t magnitude = half & 0x7FFFu, sign = (half & 0x8000u) << 16;
  if (magnitude >= 0x7C00) return get<float>(sign | 0x7F800000u | (magnitude & 0x3FF) << 13);  // infinity, NaN
  const float value = get<float>(magnitude << 13) * 0x1p112f;                                  // from half's exponent to float's, subnormals included
  return sign != 0 ? -value : value;
}

uint16_t float_to_half(float value) {
  const uint32_t bits = static_cast<uint32_t>(put(value)), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return 0x7FFF;                                  // NaN, as the device has it
  if (magnitude >= 0x477FF000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65520 and more
  if (magnitude < 0x38800000u) {                                               // subnormal: addition rounds at 2^-24
    const uint32_t rounded = static_cast<uint32_t>(put(get<float>(magnitude) + 0.5f)) - 0x3F000000u;
    return static_cast<uint16_t>(sign | rounded);
  }
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1)) >> 13);
}

namespace {

float round(float value, char rounding) {
  switch (rounding) {
    case 'n':
      return std::nearbyint(value);
    case 'z':
      return std::trunc(value);
    case 'm':
      return std::floor(value);
    case 'p':
      return std::ceil(value);
    default:
      return value;
  }
}

/// Out of range becomes the nearest, NaN zero.
int64_t float_to_integer(float value, char type, unsigned width) {
  if (std::isnan(value)) return 0;
  if (type == 's') {
    const double limit = std::ldexp(1.0, static_cast<int>(width) - 1);
    if (value >= limit) return static_cast<int64_t>((uint64_t{1} << (width - 1)) - 1);
    if (value < -limit) return width == 64 ? std::numeric_limits<int64_t>::min() : -(int64_t{1} << (width - 1));
    return static_cast<int64_t>(value);
  }
  if (value <= 0) return 0;
  if (value >= std::ldexp(1.0, static_cast<int>(width))) return width == 64 ? -1 : static_cast<int64_t>((uint64_t{1} << width) - 1);
  return static_cast<int64_t>(static_cast<uint64_t>(value));
}

uint64_t convert(const Instruction& in, uint64_t bits) {
  if (in.source != 'f') {
    const int64_t value = static_cast<int64_t>(extended(bits, in.source, in.source_bits));
    if (in.type != 'f') return extended(static_cast<uint64_t>(value), in.type, in.bits);
    const float result = in.source == 's' ? static_cast<float>(value) : static_cast<float>(static_cast<uint64_t>(value));
    return in.bits == 16 ? float_to_half(result) : put(result);
  }
  float value = in.source_bits == 16 ? half_to_float(static_cast<uint16_t>(bits)) : get<float>(bits);
  if (in.type != 'f') return extended(static_cast<uint64_t>(float_to_integer(round(value, in.rounding), in.type, in.bits)), in.type, in.bits);
  if (in.bits >= in.source_bits) value = round(value, in.rounding);  // .rni and its like; narrowing only rounds to nearest
  if (in.saturate) value = value > 0 ? std::min(value, 1.0f) : 0;
  return in.bits == 16 ? float_to_half(value) : put(value);
}

void convert_lanes(Step& step) {
  Row &to = step.row(0), &from = step.row(1);
  for_lanes(step.lanes, [&](int l) { to[l] = convert(step.instruction, from[l]); });
}

/// Two floats, the high half first.
void convert_pair(Step& step) {
  Row &to = step.row(0), &high = step.row(1), &low = step.row(2);
  for_lanes(step.lanes, [&](int l) { to[l] = uint32_t{float_to_half(get<float>(high[l]))} << 16 | float_to_half(get<float>(low[l])); });
}

}  // namespace

bool decode_conversion(const std::vector<std::string>& parts, Instruction& in) {
  if (parts[0] != "cvt" || parts.size() < 3) return false;
  if (parts == std::vector<std::string>{"cvt", "rn", "f16x2", "f32"}) {
    in.run = convert_pair;
    return true;
  }
  for (size_t i = 1; i + 2 < parts.size(); ++i) {
    const std::string& part = parts[i];
    const bool integral = part.size() == 3 && part[0] == 'r' && part[2] == 'i';
    if (part == "sat") {
      in.saturate = true;
    } else if ((part.size() == 2 || integral) && part[0] == 'r' && std::string("nzmp").find(part[1]) != std::string::npos) {
      in.rounding = part[1];
    } else {
      return false;
    }
  }
  if (!read_type(parts[parts.size() - 2], in.type, in.bits) || !read_type(parts.back(), in.source, in.source_bits)) return false;
  const bool from_float = in.source == 'f', to_float = in.type == 'f';
  if ((from_float && in.source_bits > 32) || (to_float && in.bits > 32) || (in.saturate && !(from_float && to_float))) return false;
  const bool nearest_only = to_float && (!from_float || in.bits < in.source_bits);
  if (nearest_only && in.rounding != 'n') return false;
  if (!from_float && to_float && in.bits == 16) return false;  // would round twice
  in.run = convert_lanes;
  return true;
}

}  // namespace mipha::machine
