/// Right uses of memory by many threads: none of them may be reported.
#include "backend/cuda/kernels/device.cuh"
#include "test/machine/kernels/launch.h"

namespace mipha::machine::kernels {
namespace {

using namespace cuda;

__global__ void atomics(const int* in, int* ints, unsigned* unsigneds, float* floats, unsigned long long* wide) {
  const int v = in[blockIdx.x * blockDim.x + threadIdx.x];
  atomicAdd(&ints[0], v);
  atomicMax(&ints[1], v);
  atomicMin(&ints[2], v);
  atomicExch(&ints[3], v);
  atomicAdd(&unsigneds[0], 1u);
  atomicMax(&unsigneds[1], static_cast<unsigned>(v));
  atomicInc(&unsigneds[2], 99u);
  atomicOr(&unsigneds[3], 1u << (threadIdx.x % 32));
  atomicXor(&unsigneds[4], static_cast<unsigned>(v));
  atomicAnd(&unsigneds[5], ~(1u << (threadIdx.x % 32)));
  atomicDec(&unsigneds[6], 99u);
  atomicAdd(&floats[0], static_cast<float>(v % 8));
  atomicAdd(&wide[0], 0x100000000ull + threadIdx.x);
  for (int old = 0, seen;; old = seen) {  // a maximum of floats by compare and swap
    const float larger = fmaxf(__int_as_float(old), static_cast<float>(v % 100));
    seen = atomicCAS(&ints[4], old, __float_as_int(larger));
    if (seen == old) break;
  }
}

__global__ void histogram(const int* in, int* out) {
  int* bins = shared<int>(0);
  if (threadIdx.x < 16) bins[threadIdx.x] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < 1000; i += blockDim.x) atomicAdd(&bins[in[i] & 15], 1);
  __syncthreads();
  if (threadIdx.x < 16) out[threadIdx.x] = bins[threadIdx.x];
}

/// Every block leaves a sum; the one that is counted last adds them up.
__global__ void last_block(const int* in, int* partial, unsigned* count, int* out) {
  __shared__ bool last;
  int sum = in[blockIdx.x * 32 + threadIdx.x];
#pragma unroll
  for (int by = 16; by > 0; by /= 2) sum += __shfl_down_sync(~0u, sum, by);
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum;
    __threadfence();
    last = atomicInc(count, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  if (threadIdx.x == 0) {
    int total = 0;
    for (int i = 0; i < gridDim.x; ++i) total += partial[i];
    *out = total;
  }
}

__global__ void far_offsets(char* memory, const long long* offsets, long long* out) {
  memory[offsets[threadIdx.x]] = static_cast<char>(threadIdx.x + 1);
  out[threadIdx.x] = memory[offsets[threadIdx.x]] + 2 * offsets[threadIdx.x];
}

/// Neighbours write bytes of one word; a barrier of the warp orders them.
__global__ void bytes_of_a_word(int8_t* out) {
  int8_t* bytes = shared<int8_t>(0);
  bytes[threadIdx.x] = static_cast<int8_t>(threadIdx.x);
  __syncwarp();
  out[threadIdx.x] = bytes[threadIdx.x ^ 1];
}

/// Static and dynamic shared memory, through pointers that do not say which.
__noinline__ __device__ int read(const int* at) {
  return *at;
}
__global__ void generic(const int* in, int* out) {
  __shared__ int fixed[32];
  int* dynamic = shared<int>(0);
  fixed[threadIdx.x] = in[threadIdx.x];
  dynamic[threadIdx.x] = in[threadIdx.x] * 2;
  __syncthreads();
  const int* from[] = {in, fixed, dynamic};
  out[threadIdx.x] = read(threadIdx.x % 3 == 0 ? from[0] : threadIdx.x % 3 == 1 ? from[1] + 31 - threadIdx.x : from[2] + 31 - threadIdx.x);
}

/// Copies of 4, 8 and 16 bytes, cut short; two groups, waited for one after the other.
__global__ void copies(const char* in, char* out) {
  char* tile = shared<char>(0);
  const unsigned lane = threadIdx.x, to = shared_address(tile);
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to + lane * 4), "l"(in + lane * 4), "r"(lane % 5) : "memory");
  cp_async_commit();
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to + 128 + lane * 8), "l"(in + 128 + lane * 8) : "memory");
  cp_async16(tile + 384 + lane * 16, in + 384 + lane * 16, lane % 17);
  cp_async_commit();
  cp_async_wait<1>();
  __syncthreads();
  reinterpret_cast<int*>(out)[lane] = reinterpret_cast<int*>(tile)[lane ^ 7];
  asm volatile("cp.async.wait_all;" ::: "memory");
  __syncthreads();
  for (int i = 128 + lane; i < 896; i += 32) out[i] = tile[i];
}

}  // namespace

std::vector<Named> memory_kernels() {
  return {{"atomics", reinterpret_cast<const void*>(atomics)},
          {"histogram", reinterpret_cast<const void*>(histogram)},
          {"last_block", reinterpret_cast<const void*>(last_block)},
          {"far_offsets", reinterpret_cast<const void*>(far_offsets)},
          {"bytes_of_a_word", reinterpret_cast<const void*>(bytes_of_a_word)},
          {"generic", reinterpret_cast<const void*>(generic)},
          {"copies", reinterpret_cast<const void*>(copies)}};
}

}  // namespace mipha::machine::kernels
