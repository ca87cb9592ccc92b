// Instructions that CUDA C++ has no name for.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace mipha::cuda {

template <class T>
__device__ __forceinline__ T* shared(unsigned bytes) {
  extern __shared__ __align__(16) unsigned char arena[];
  return reinterpret_cast<T*>(arena + bytes);
}
__device__ __forceinline__ unsigned shared_address(const void* at) {
  return static_cast<unsigned>(__cvta_generic_to_shared(at));
}

/// False in a step that nobody wants any more: Launch::live. The same for all threads of a grid.
__device__ __forceinline__ bool is_live(const int32_t* live) {
  return live == nullptr || *live != 0;
}
// Weights, read once: past L1.
__device__ __forceinline__ uint4 load_once(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
  return v;
}
// 16 bytes to shared memory; the last 16 - bytes become zeros.
__device__ __forceinline__ void cp_async16(void* to, const void* from, unsigned bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until at most kOpen of the groups committed last are under way.
template <int kOpen>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kOpen) : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&d)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
               : "r"(shared_address(row))
               : "memory");
}
// C[16][8] += A[16][32] · B[32][8], INT8 and INT32.
__device__ __forceinline__ void mma_s8(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// C[16][8] += A[16][16] · B[16][8], FP16 and FP32.
__device__ __forceinline__ void mma_f16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ uint32_t pack_half2(float low, float high) {
  const __half2 both = __floats2half2_rn(low, high);
  return *reinterpret_cast<const uint32_t*>(&both);
}

/// Four INT8 as halves, exactly: a byte with its sign turned is the low byte of the half 1024 + 128 + value.
struct Halves {
  uint32_t low, high;  // elements 0, 1 and 2, 3
};
__device__ __forceinline__ uint32_t subtract_halves(uint32_t a, uint32_t b) {
  uint32_t d;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
  return d;
}
__device__ __forceinline__ Halves halves_of_s8(uint32_t bytes) {
  constexpr uint32_t k1024 = 0x64006400, k1152 = 0x64806480;
  const uint32_t unsigned_bytes = bytes ^ 0x80808080;
  return {subtract_halves(__byte_perm(unsigned_bytes, k1024, 0x5150), k1152), subtract_halves(__byte_perm(unsigned_bytes, k1024, 0x5352), k1152)};
}

/// f(i) for this thread's i of 0..count-1: threadIdx.x, threadIdx.x + kThreads, ... The lanes of a warp stay together, as shuffles behind it need.
template <int kThreads, class F>
__device__ __forceinline__ void each(int count, F f) {
  const int lane = threadIdx.x % 32;
#pragma unroll 1
  for (int first = threadIdx.x - lane; first < count; first += kThreads) {
    if (first + lane < count) f(first + lane);
  }
}
/// Sums, maxima over the 32 lanes, in an order that is always the same; every lane has the result.
__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) value += __shfl_xor_sync(0xFFFFFFFFu, value, other);
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, other));
  return value;
}
/// 2^x; below 2^-126 it is zero.
__device__ __forceinline__ float power_of_two(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float2 unpack_half2(uint32_t both) {
  return __half22float2(*reinterpret_cast<const __half2*>(&both));
}

}  // namespace mipha::cuda
