/// The rows of a decode step in shared memory, in the order of the tensor core's B operand: INT8, or halves of a row divided by a power of two.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"

namespace mipha::cuda {

constexpr int kDecodeWarps = 8, kDecodeThreads = kDecodeWarps * 32;

/// Shared memory of a product. Sums: two of [warp][16 places][8 rows], used in turn.
constexpr unsigned kSumBytes = kDecodeWarps * kTileRows * kMostSequences * 4;
constexpr unsigned kReducedAt = 2 * kSumBytes;                                     // [3 passes][row][warp]
constexpr unsigned kScaleAt = kReducedAt + 3 * kMostSequences * kDecodeWarps * 4;  // [row]
constexpr unsigned kPeaksAt = kScaleAt + kMostSequences * 4;                       // [warp / 2][row]
constexpr unsigned kRowsAt = kPeaksAt + kDecodeWarps / 2 * kMostSequences * 4;     // [row][pitch]

/// Bytes from row to row: an odd multiple of 32, so that the eight rows of an operand lie in different banks.
MIPHA_BOTH constexpr int row_pitch(int depth, bool wide) {
  const int bytes = wide ? 2 * depth : depth;
  return bytes % 64 == 0 ? bytes + 32 : bytes;
}

/// What a row is multiplied with on its way into shared memory, and what its products are.
struct Scaling {
  float inverse, scale;
};
/// As cpu::Kernels::quantize, or, wide, by the power of two below the peak.
template <bool kWide>
__device__ __forceinline__ Scaling scaling_of(float peak) {
  if (peak < cpu::kSmallestMagnitude) return {0, 0};
  if (!kWide) return {__fdiv_rn(127.0f, peak), __fdiv_rn(peak, 127.0f)};
  const float power = __uint_as_float(__float_as_uint(peak) & 0x7F800000u);
  return {__frcp_rn(power), power};
}

/// To the nearest, ties to even; -127 where the value is NaN.
__device__ __forceinline__ uint32_t quantized(float value) {
  return static_cast<uint32_t>(__float2int_rn(fminf(fmaxf(value, -127.0f), 127.0f))) & 255u;
}

/// Puts columns 4 * j .. 4 * j + 3 of a row where lanes find them: of each 32 bytes of INT8, words 0 4 1 5 2 6 3 7.
template <bool kWide>
__device__ __forceinline__ void put_four(char* row, int j, float4 v, const Scaling& by) {
  if (by.scale == 0) v = make_float4(0, 0, 0, 0);  // a row that is nothing, though NaN may stand in it
  const float a = __fmul_rn(v.x, by.inverse), b = __fmul_rn(v.y, by.inverse), c = __fmul_rn(v.z, by.inverse), d = __fmul_rn(v.w, by.inverse);
  if (kWide) {
    reinterpret_cast<uint2*>(row)[j] = make_uint2(pack_half2(a, b), pack_half2(c, d));
  } else {
    reinterpret_cast<uint32_t*>(row)[j / 8 * 8 + j % 4 * 2 + j % 8 / 4] = quantized(a) | quantized(b) << 8 | quantized(c) << 16 | quantized(d) << 24;
  }
}

__device__ __forceinline__ const float4* row_of(const float* values, int64_t stride, int row) {
  return reinterpret_cast<const float4*>(values + row * stride);
}
__device__ __forceinline__ float sum_of(float4 v) {
  return (v.x + v.y) + (v.z + v.w);
}
__device__ __forceinline__ float peak_of(float4 v) {
  return fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));  // the numbers, where some are NaN
}

/// All threads of a block; ends without a barrier. Nothing that is added up depends on the number of rows.
template <bool kWide>
__device__ __forceinline__ void stage(const Rows& in, int depth) {
  const int pitch = row_pitch(depth, kWide), groups = in.width / 4;
#pragma unroll 1
  for (int r = 0; r < in.count; ++r) {
    const Scaling by = scaling_of<kWide>(__uint_as_float(in.peak[r]));
    const float4* from = row_of(in.values, in.stride, r);
    char* const to = shared<char>(kRowsAt + static_cast<unsigned>(r * pitch));
    if (threadIdx.x == 0) *shared<float>(kScaleAt + 4 * r) = by.scale;
    each<kDecodeThreads>(depth / 4, [&](int j) { put_four<kWide>(to, j, j < groups ? from[j] : make_float4(0, 0, 0, 0), by); });
  }
}

struct Moments {
  float mean, inverse;
};
/// The row's mean and 1 / deviation from what the warps have added up.
__device__ __forceinline__ float over_warps(int pass, int row) {
  const float* from = shared<float>(kReducedAt) + (pass * kMostSequences + row) * kDecodeWarps;
  float sum = from[0];
#pragma unroll
  for (int w = 1; w < kDecodeWarps; ++w) sum += from[w];
  return sum;
}
__device__ __forceinline__ void keep(int pass, int row, float of_warp) {
  if (threadIdx.x % 32 == 0) shared<float>(kReducedAt)[(pass * kMostSequences + row) * kDecodeWarps + threadIdx.x / 32] = of_warp;
}
__device__ __forceinline__ float4 normed(const Normed& in, float4 v, int j, const Moments& of) {
  const float4 gain = reinterpret_cast<const float4*>(in.gain)[j];
  const float4 bias = in.kind == NormKind::kLayer ? reinterpret_cast<const float4*>(in.bias)[j] : make_float4(0, 0, 0, 0);
  return make_float4(__fmaf_rn((v.x - of.mean) * of.inverse, gain.x, bias.x), __fmaf_rn((v.y - of.mean) * of.inverse, gain.y, bias.y),
                     __fmaf_rn((v.z - of.mean) * of.inverse, gain.z, bias.z), __fmaf_rn((v.w - of.mean) * of.inverse, gain.w, bias.w));
}
__device__ __forceinline__ Moments moments_of(const Normed& in, int row) {
  const float width = static_cast<float>(in.width), mean = in.kind == NormKind::kLayer ? over_warps(0, row) / width : 0;
  return {mean, __frcp_rn(__fsqrt_rn(over_warps(1, row) / width + in.epsilon))};
}

template <bool kWide>
__device__ __forceinline__ void stage(const Normed& in, int depth) {
  const int pitch = row_pitch(depth, kWide), groups = in.width / 4;
  if (in.kind == NormKind::kLayer) {
#pragma unroll 1
    for (int r = 0; r < in.count; ++r) {
      const float4* from = row_of(in.values, in.stride, r);
      float sum = 0;
      each<kDecodeThreads>(groups, [&](int j) { sum += sum_of(from[j]); });
      keep(0, r, warp_sum(sum));
    }
    __syncthreads();
  }
#pragma unroll 1
  for (int r = 0; r < in.count; ++r) {
    const float4* from = row_of(in.values, in.stride, r);
    const float mean = in.kind == NormKind::kLayer ? over_warps(0, r) / static_cast<float>(in.width) : 0;
    float sum = 0;
    each<kDecodeThreads>(groups, [&](int j) {
      const float4 v = from[j];
      const float a = v.x - mean, b = v.y - mean, c = v.z - mean, d = v.w - mean;
      sum += sum_of(make_float4(a * a, b * b, c * c, d * d));
    });
    keep(1, r, warp_sum(sum));
  }
  __syncthreads();
#pragma unroll 1
  for (int r = 0; r < in.count; ++r) {
    const float4* from = row_of(in.values, in.stride, r);
    const Moments of = moments_of(in, r);
    float peak = 0;
    each<kDecodeThreads>(groups, [&](int j) { peak = fmaxf(peak, peak_of(normed(in, from[j], j, of))); });
    keep(2, r, warp_max(peak));
  }
  __syncthreads();
#pragma unroll 1
  for (int r = 0; r < in.count; ++r) {
    const float4* from = row_of(in.values, in.stride, r);
    const Moments of = moments_of(in, r);
    const float* peaks = shared<float>(kReducedAt) + (2 * kMostSequences + r) * kDecodeWarps;
    float peak = peaks[0];
#pragma unroll
    for (int w = 1; w < kDecodeWarps; ++w) peak = fmaxf(peak, peaks[w]);
    const Scaling by = scaling_of<kWide>(peak);
    char* const to = shared<char>(kRowsAt + static_cast<unsigned>(r * pitch));
    if (threadIdx.x == 0) *shared<float>(kScaleAt + 4 * r) = by.scale;
    each<kDecodeThreads>(depth / 4, [&](int j) { put_four<kWide>(to, j, j < groups ? normed(in, from[j], j, of) : make_float4(0, 0, 0, 0), by); });
  }
}

}  // namespace mipha::cuda
