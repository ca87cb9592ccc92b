/// Plain C++ that host and device must agree on to the bit.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define MACHINE_BOTH __host__ __device__
#else
#define MACHINE_BOTH
#endif

namespace mipha::machine::kernels {

constexpr int kIntegers = 34, kFloats = 28, kApproximations = 8, kIntrinsics = 14;

/// b is not zero.
MACHINE_BOTH inline void integers(int32_t a, int32_t b, uint64_t* out) {
  const uint32_t ua = static_cast<uint32_t>(a), ub = static_cast<uint32_t>(b);
  const int64_t la = static_cast<int64_t>(a) * 1000003 + b, lb = static_cast<int64_t>(b) * 7919 + 1;
  const uint64_t ula = static_cast<uint64_t>(la), ulb = static_cast<uint64_t>(lb);
  const int16_t sa = static_cast<int16_t>(a), sb = static_cast<int16_t>(b);
  const int8_t ca = static_cast<int8_t>(a), cb = static_cast<int8_t>(b);
  const uint8_t uca = static_cast<uint8_t>(a), ucb = static_cast<uint8_t>(b);
  const bool overflows = b == -1 && a == INT32_MIN;
  int n = 0;
  out[n++] = ua + ub;
  out[n++] = ua - ub;
  out[n++] = ua * ub + 7;
  out[n++] = overflows ? 0 : static_cast<uint32_t>(a / b);
  out[n++] = overflows ? 0 : static_cast<uint32_t>(a % b);
  out[n++] = ua / ub;
  out[n++] = ua % ub;
  out[n++] = static_cast<uint64_t>(static_cast<int64_t>(a) * b);
  out[n++] = static_cast<uint64_t>(ua) * ub + 3;
  out[n++] = static_cast<uint32_t>(static_cast<int64_t>(a) * b >> 32);
  out[n++] = static_cast<uint64_t>(ua) * ub >> 32;
  out[n++] = static_cast<uint32_t>(a < b ? a : b);
  out[n++] = ua > ub ? ua : ub;
  out[n++] = static_cast<uint32_t>(a >> (b & 31));
  out[n++] = ua >> (ub & 31);
  out[n++] = ua << (ub & 31);
  out[n++] = ua & ub;
  out[n++] = (ua | ub) ^ ~ua;
  out[n++] = (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (ua < ub) + 16 * (ua >= ub) + 32 * (la > lb) + 64 * (ula != ulb);
  out[n++] = static_cast<uint32_t>(sa * sb);
  out[n++] = static_cast<uint32_t>(static_cast<int16_t>(sa + sb) / 3);
  out[n++] = static_cast<uint16_t>(sa) / 5u;
  out[n++] = static_cast<uint32_t>(ca * cb + ca);
  out[n++] = static_cast<uint32_t>(uca * ucb - uca);
  out[n++] = static_cast<uint64_t>(static_cast<int64_t>(ca));
  out[n++] = ula + ulb * 3;
  out[n++] = ula - ulb;
  out[n++] = static_cast<uint64_t>(la / lb);
  out[n++] = static_cast<uint64_t>(la % lb);
  out[n++] = ula / (ulb | 1);
  out[n++] = static_cast<uint64_t>(la >> (b & 63));
  out[n++] = ula >> (ub & 63) | ula << (ua & 63);
  out[n++] = static_cast<uint64_t>(la < lb ? la : lb);
  out[n++] = (ula & ulb) ^ ~ula;
}

/// Conversions to integers only where these can hold the value.
MACHINE_BOTH inline void floats(float a, float b, float* out) {
  const bool small = fabsf(a) < 1e9f;
  const float held = small ? a : 1.0f;
  int n = 0;
  out[n++] = a + b;
  out[n++] = a - b;
  out[n++] = a * b;
  out[n++] = a / b;
  out[n++] = fmaf(a, b, a);
  out[n++] = sqrtf(fabsf(a));
  out[n++] = 1 / b;
  out[n++] = fminf(a, b);
  out[n++] = fmaxf(a, b);
  out[n++] = -a;
  out[n++] = fabsf(b);
  out[n++] = copysignf(a, b);
  out[n++] = rintf(a);
  out[n++] = floorf(a);
  out[n++] = ceilf(a);
  out[n++] = truncf(a);
  out[n++] = a < b;
  out[n++] = a <= b;
  out[n++] = a == b;
  out[n++] = a != b;
  out[n++] = !(a > b);
  out[n++] = !(a >= b);
  out[n++] = static_cast<float>(static_cast<int32_t>(held));
  out[n++] = static_cast<float>(static_cast<uint32_t>(fabsf(held)));
  out[n++] = static_cast<float>(static_cast<int64_t>(held) * 16777259);
  out[n++] = static_cast<float>(static_cast<uint64_t>(fabsf(held)) * 16777259);
  out[n++] = static_cast<float>(static_cast<int8_t>(fminf(fmaxf(rintf(held), -127.0f), 127.0f)));
  out[n++] = static_cast<float>(static_cast<int32_t>(held) * 2 + 1);
}

}  // namespace mipha::machine::kernels
