// Norms, and rows made ready for a product. A block per row, which it keeps in shared memory in FP32.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kLanes;
constexpr float kSmallestPeak = 0x1p-120f;  // below it a row is zero in INT8, as on the CPU

struct Sum {
  static __device__ float of(float a, float b) { return a + b; }
};
struct Largest {
  static __device__ float of(float a, float b) { return fmaxf(a, b); }  // a number, where one is NaN
};
/// Of one value per thread, in an order that is always the same; for all threads. `partial`: kWarps floats.
template <class F>
__device__ float reduced(float value, float* partial) {
#pragma unroll
  for (int mask = kLanes / 2; mask > 0; mask /= 2) value = F::of(value, __shfl_xor_sync(~0u, value, mask));
  __syncthreads();  // nobody reads what the last one left
  if (threadIdx.x % kLanes == 0) partial[threadIdx.x / kLanes] = value;
  __syncthreads();
  value = partial[0];
#pragma unroll
  for (int i = 1; i < kWarps; ++i) value = F::of(value, partial[i]);
  return value;
}

/// The norm of a row, the row times factors, or the row.
struct Source {
  const float* values;
  int64_t stride;
  int width;
  bool normed, centred;
  float epsilon;
  const float *gain, *bias;  // [width], null: 1 and 0
};

/// Leaves the source's row in `row`, thread by thread: element i belongs to thread i % kThreads.
__device__ void take(const Source& source, float* row, float* partial) {
  const float* const from = source.values + blockIdx.x * source.stride;
  float sum = 0;
  for (int i = threadIdx.x; i < source.width; i += kThreads) sum += row[i] = from[i];
  float mean = 0, inverse = 1;
  if (source.normed) {
    const float width = static_cast<float>(source.width);
    if (source.centred) mean = reduced<Sum>(sum, partial) / width;
    float squares = 0;
    for (int i = threadIdx.x; i < source.width; i += kThreads) {
      const float off = row[i] - mean;
      squares = fmaf(off, off, squares);
    }
    inverse = 1.0f / sqrtf(reduced<Sum>(squares, partial) / width + source.epsilon);
  }
  for (int i = threadIdx.x; i < source.width; i += kThreads) {
    float value = row[i];
    if (source.normed) value = (value - mean) * inverse;
    if (source.gain != nullptr) value *= source.gain[i];
    row[i] = source.bias != nullptr ? value + source.bias[i] : value;
  }
}

__global__ void __launch_bounds__(kThreads) to_floats(const Source source, float* out, int64_t stride) {
  float *const partial = shared<float>(0), *const row = partial + kWarps;
  take(source, row, partial);
  for (int i = threadIdx.x; i < source.width; i += kThreads) out[blockIdx.x * stride + i] = row[i];
}

/// As the CPU's quantize(): −127 where the product is NaN.
__device__ uint32_t quantized(float value, float inverse) {
  return static_cast<uint32_t>(__float2int_rn(fminf(fmaxf(value * inverse, -127.0f), 127.0f))) & 255;
}

template <bool kWide>
__global__ void __launch_bounds__(kThreads) to_operand(const Source source, const Operand out) {
  float *const partial = shared<float>(0), *const row = partial + kWarps;
  take(source, row, partial);
  float peak = 0;
  for (int i = threadIdx.x; i < out.depth; i += kThreads) {
    if (i >= source.width) row[i] = 0;
    peak = fmaxf(peak, fabsf(row[i]));
  }
  peak = reduced<Largest>(peak, partial);

  if (kWide) {
    // The power of two that brings the peak to 1..2; one that is a normal number, and its inverse too.
    const uint32_t exponent = min(max(__float_as_uint(peak) & 0x7F800000u, 0x00800000u), 0x7E800000u);
    const float inverse = __uint_as_float(0x7F000000u - exponent);
    uint2* const to = static_cast<uint2*>(out.values) + int64_t{blockIdx.x} * (out.depth / 4);
    for (int i = threadIdx.x; i < out.depth / 4; i += kThreads) {
      const float4 v = reinterpret_cast<const float4*>(row)[i];
      to[i] = make_uint2(pack_half2(v.x * inverse, v.y * inverse), pack_half2(v.z * inverse, v.w * inverse));
    }
    if (threadIdx.x == 0) out.scale[blockIdx.x] = __uint_as_float(exponent);
    return;
  }
  const bool zero = peak < kSmallestPeak;
  const float inverse = 127.0f / peak;
  uint32_t* const to = static_cast<uint32_t*>(out.values) + int64_t{blockIdx.x} * (out.depth / 4);
  for (int i = threadIdx.x; i < out.depth / 4; i += kThreads) {
    const float4 v = reinterpret_cast<const float4*>(row)[i];
    const uint32_t bytes = quantized(v.x, inverse) | quantized(v.y, inverse) << 8 | quantized(v.z, inverse) << 16 | quantized(v.w, inverse) << 24;
    to[i] = zero ? 0 : bytes;
  }
  if (threadIdx.x == 0) out.scale[blockIdx.x] = zero ? 0 : peak / 127.0f;
}

size_t shared_bytes(int floats) {
  return (kWarps + static_cast<size_t>(floats)) * sizeof(float);
}

Source normed(const Normed& in) {
  return {in.values, in.stride, in.width, true, in.kind == NormKind::kLayer, in.epsilon, in.gain, in.bias};
}

cudaError_t operand(const Launch& launch, const Source& source, int count, const Operand& out) {
  return start(out.wide ? to_operand<true> : to_operand<false>, count, kThreads, shared_bytes(out.depth), launch.stream, source, out);
}

}  // namespace

cudaError_t normalize(const Launch& launch, const Normed& in, float* out, int64_t stride) {
  return start(to_floats, in.count, kThreads, shared_bytes(in.width), launch.stream, normed(in), out, stride);
}

cudaError_t normalize(const Launch& launch, const Normed& in, const Operand& out) {
  return operand(launch, normed(in), in.count, out);
}

cudaError_t prepare(const Launch& launch, const float* values, int64_t stride, int count, int width, const float* smooth, const Operand& out) {
  return operand(launch, {values, stride, width, false, false, 0, smooth, nullptr}, count, out);
}

}  // namespace mipha::cuda
