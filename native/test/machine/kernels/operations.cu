/// What a thread or a warp computes: one block, results of thread t at out[result * threads + t].
#include <cuda_fp16.h>

#include "test/machine/kernels/arithmetic.h"
#include "test/machine/kernels/launch.h"

namespace mipha::machine::kernels {
namespace {

__global__ void integer_results(const int32_t* a, const int32_t* b, uint64_t* out) {
  uint64_t results[kIntegers];
  integers(a[threadIdx.x], b[threadIdx.x], results);
#pragma unroll
  for (int i = 0; i < kIntegers; ++i) out[i * blockDim.x + threadIdx.x] = results[i];
}

__global__ void float_results(const float* a, const float* b, float* out) {
  float results[kFloats];
  floats(a[threadIdx.x], b[threadIdx.x], results);
#pragma unroll
  for (int i = 0; i < kFloats; ++i) out[i * blockDim.x + threadIdx.x] = results[i];
}

__global__ void intrinsic_results(const int32_t* a, const int32_t* b, uint32_t* out) {
  const int32_t x = a[threadIdx.x], y = b[threadIdx.x];
  const uint32_t ux = x, uy = y;
  uint32_t beyond;
  asm("shl.b32 %0, %1, %2;" : "=r"(beyond) : "r"(ux), "r"(uy & 63));
  int32_t signed_beyond, field;
  asm("shr.s32 %0, %1, %2;" : "=r"(signed_beyond) : "r"(x), "r"(uy & 63));
  asm("bfe.s32 %0, %1, %2, %3;" : "=r"(field) : "r"(x), "r"(uy & 31), "r"(ux & 15));
  uint32_t inserted;
  asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(inserted) : "r"(ux), "r"(uy), "r"(ux & 31), "r"(uy & 31));
  const uint32_t results[kIntrinsics] = {static_cast<uint32_t>(__dp4a(x, y, 5)),
                                         __dp4a(ux, uy, 5u),
                                         static_cast<uint32_t>(__popc(ux)),
                                         static_cast<uint32_t>(__clz(x)),
                                         __brev(ux),
                                         __byte_perm(ux, uy, 0x3715),
                                         __funnelshift_l(ux, uy, ux),
                                         __funnelshift_r(ux, uy, uy),
                                         static_cast<uint32_t>(__mulhi(x, y)),
                                         __umulhi(ux, uy),
                                         beyond,
                                         static_cast<uint32_t>(signed_beyond),
                                         static_cast<uint32_t>(field),
                                         inserted};
#pragma unroll
  for (int i = 0; i < kIntrinsics; ++i) out[i * blockDim.x + threadIdx.x] = results[i];
}

__global__ void approximate_results(const float* a, float* out) {
  const float x = a[threadIdx.x];  // positive
  float results[kApproximations];
  asm("ex2.approx.f32 %0, %1;" : "=f"(results[0]) : "f"(x));
  asm("rcp.approx.f32 %0, %1;" : "=f"(results[1]) : "f"(x));
  asm("rsqrt.approx.f32 %0, %1;" : "=f"(results[2]) : "f"(x));
  asm("sqrt.approx.f32 %0, %1;" : "=f"(results[3]) : "f"(x));
  asm("lg2.approx.f32 %0, %1;" : "=f"(results[4]) : "f"(x));
  asm("tanh.approx.f32 %0, %1;" : "=f"(results[5]) : "f"(x));
  results[6] = __expf(-x);
  results[7] = tanhf(x);
#pragma unroll
  for (int i = 0; i < kApproximations; ++i) out[i * blockDim.x + threadIdx.x] = results[i];
}

__global__ void half_results(const uint16_t* halves, float* wide, const float* floats, uint16_t* narrow, uint32_t* pairs, uint32_t* differences) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  wide[i] = __half2float(__ushort_as_half(halves[i]));
  narrow[i] = __half_as_ushort(__float2half_rn(floats[i]));
  const __half2 pair = __floats2half2_rn(floats[i], floats[i ^ 1]);
  pairs[i] = *reinterpret_cast<const uint32_t*>(&pair);
  asm("sub.f16x2 %0, %1, %2;" : "=r"(differences[i]) : "r"(halves[i] | uint32_t{halves[i ^ 5]} << 16), "r"(pairs[i]));
}

__global__ void shuffles(const uint32_t* in, uint32_t* out) {
  const unsigned lane = threadIdx.x, all = ~0u;
  const uint32_t v = in[lane];
  uint32_t halves;
  if (lane < 16) {
    halves = __shfl_xor_sync(0x0000FFFFu, v, 1);
  } else {
    halves = __shfl_xor_sync(0xFFFF0000u, v, 2);
  }
  const uint32_t results[] = {__shfl_sync(all, v, 5),          __shfl_sync(all, v, lane + 1),
                              __shfl_sync(all, v, 9, 8),       __shfl_up_sync(all, v, 3),
                              __shfl_up_sync(all, v, 2, 8),    __shfl_down_sync(all, v, 3),
                              __shfl_down_sync(all, v, 3, 16), __shfl_xor_sync(all, v, 5),
                              __shfl_xor_sync(all, v, 12, 8),  halves};
#pragma unroll
  for (int i = 0; i < 10; ++i) out[i * 32 + lane] = results[i];
}

__global__ void votes(const uint32_t* in, uint32_t* out) {
  const unsigned lane = threadIdx.x, all = ~0u;
  const uint32_t v = in[lane];
  uint32_t third = 0, active = 0;
  if (lane % 3 == 0) {
    third = __ballot_sync(0x49249249u, v & 1);
    active = __activemask();
  }
  const uint32_t results[] = {__ballot_sync(all, v & 1),
                              static_cast<uint32_t>(__any_sync(all, v == in[7])),
                              static_cast<uint32_t>(__all_sync(all, v != 0)),
                              static_cast<uint32_t>(__uni_sync(all, v & 1)),
                              third,
                              active,
                              __reduce_add_sync(all, v),
                              static_cast<uint32_t>(__reduce_min_sync(all, static_cast<int>(v))),
                              __reduce_max_sync(all, v),
                              __reduce_xor_sync(all, v)};
#pragma unroll
  for (int i = 0; i < 10; ++i) out[i * 32 + lane] = results[i];
}

struct Three {
  int a;
  long long b;
  float c;
};
__noinline__ __device__ float sum_of(Three x, float scale) {
  return static_cast<float>(x.a + x.b) + x.c * scale;
}
__noinline__ __device__ Three twice(Three x, int times) {
  if (times == 0) return x;
  for (int i = 0; i < times; ++i) x.a += x.a & 1 ? 3 : 5;
  x.b *= 2;
  x.c = sum_of(x, 2.0f);
  return x;
}
__global__ void calls(const int* in, float* out) {
  const int v = in[threadIdx.x];
  const Three x = twice({v, v * 10ll, 0.5f}, v & 3);
  out[threadIdx.x] = sum_of(x, 1.0f) + x.a;
}

}  // namespace

std::vector<Named> operation_kernels() {
  return {{"integers", reinterpret_cast<const void*>(integer_results)},
          {"floats", reinterpret_cast<const void*>(float_results)},
          {"intrinsics", reinterpret_cast<const void*>(intrinsic_results)},
          {"approximations", reinterpret_cast<const void*>(approximate_results)},
          {"halves", reinterpret_cast<const void*>(half_results)},
          {"shuffles", reinterpret_cast<const void*>(shuffles)},
          {"votes", reinterpret_cast<const void*>(votes)},
          {"calls", reinterpret_cast<const void*>(calls)}};
}

}  // namespace mipha::machine::kernels
