/// One fault a kernel. `a` has 1024 ints that were written, `b` 32 that were not.
#include "backend/cuda/kernels/device.cuh"
#include "test/machine/kernels/launch.h"

namespace mipha::machine::kernels {
namespace {

using namespace cuda;

__global__ void shared_race(int* a, int*) {
  int* s = shared<int>(0);
  s[threadIdx.x] = a[threadIdx.x];
  if (threadIdx.x >= 32) a[threadIdx.x] = s[threadIdx.x ^ 32];
}
__global__ void shared_overwritten(int* a, int*) {
  int* s = shared<int>(0);
  s[threadIdx.x] = a[threadIdx.x];
  __syncthreads();
  const int v = s[threadIdx.x ^ 32];
  a[threadIdx.x] = v;
  if (threadIdx.x >= 32) s[threadIdx.x] = v + 1;
}
__global__ void shuffle_for_a_barrier(int* a, int*) {
  int* s = shared<int>(0);
  s[threadIdx.x] = a[threadIdx.x];
  const int v = __shfl_sync(~0u, 1, 0);
  a[threadIdx.x] = s[threadIdx.x ^ 1] + v;
}
__global__ void uninitialised_shared(int* a, int*) {
  a[threadIdx.x] = shared<int>(0)[threadIdx.x];
}
__global__ void uninitialised_device(int* a, int* b) {
  a[threadIdx.x] = b[threadIdx.x];
}
__global__ void device_overrun(int* a, int*) {
  a[threadIdx.x + 1000] = 1;
}
__global__ void device_underrun(int* a, int*) {
  a[static_cast<int>(threadIdx.x) - 1] = 1;
}
__global__ void shared_overrun(int*, int*) {
  shared<int>(0)[threadIdx.x + 1000] = 1;
}
__global__ void misaligned(int* a, int*) {
  *reinterpret_cast<long long*>(a + threadIdx.x) = 1;
}
__global__ void no_memory(int*, int*) {
  *reinterpret_cast<int*>(uintptr_t{16} + 4 * threadIdx.x) = 1;
}
__global__ void blocks_race(int* a, int*) {
  a[threadIdx.x] = blockIdx.x;
}
__global__ void blocks_read(int* a, int*) {
  a[blockIdx.x * 64 + threadIdx.x] = 1;
  a[512 + blockIdx.x * 64 + threadIdx.x] = a[(blockIdx.x ^ 1) * 64 + threadIdx.x];
}
__global__ void atomic_and_store(int* a, int*) {
  atomicAdd(a, 1);
  if (threadIdx.x == 5) a[0] = 3;
}
__global__ void last_block_without_fence(int* a, int*) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    a[blockIdx.x] = 1;
    last = atomicAdd(a + 100, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) a[101] = a[0] + a[1];
}
__global__ void barriers_of_two_branches(int* a, int*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    a[threadIdx.x] = 1;
    __syncthreads();
  }
}
__global__ void barrier_for_some(int* a, int*) {
  if (threadIdx.x < 32) __syncthreads();
  a[threadIdx.x] = 1;
}
__global__ void barrier_after_end(int* a, int*) {
  if (threadIdx.x < 32) return;
  __syncthreads();
  a[threadIdx.x] = 1;
}
__global__ void ends_with_copies(int* a, int*) {
  cp_async16(shared<char>(threadIdx.x * 16), a + threadIdx.x * 4);
  cp_async_commit();
}
__global__ void copy_not_waited_for(int* a, int*) {
  cp_async16(shared<char>(threadIdx.x * 16), a + threadIdx.x * 4);
  cp_async_commit();
  __syncthreads();
  a[threadIdx.x] = shared<int>(0)[threadIdx.x];
  cp_async_wait<0>();
}
__global__ void copy_of_another_thread(int* a, int*) {
  cp_async16(shared<char>(threadIdx.x * 16), a + threadIdx.x * 4);
  cp_async_commit();
  cp_async_wait<0>();
  a[threadIdx.x + 512] = shared<int>(0)[threadIdx.x ^ 32];
}
__global__ void copy_misaligned(int* a, int*) {
  cp_async16(shared<char>(threadIdx.x * 16), a + threadIdx.x * 4 + 1);
  cp_async_wait<0>();
}
__global__ void copy_too_long(int* a, int*) {
  cp_async16(shared<char>(threadIdx.x * 16), a + threadIdx.x * 4, 17);
  cp_async_wait<0>();
}
__global__ void mma_by_some(int* a, int*) {
  int c[4] = {0, 0, 0, 0};
  const uint32_t x[4] = {1, 2, 3, 4}, y[2] = {5, 6};
  if (threadIdx.x % 32 < 16) mma_s8(c, x, y);
  a[threadIdx.x] = c[0];
}
__global__ void ldmatrix_misaligned(int* a, int*) {
  shared<int>(0)[threadIdx.x] = 0;
  __syncthreads();
  uint32_t d[4];
  ldmatrix_x4(d, shared<char>(threadIdx.x % 32 * 8));
  a[threadIdx.x] = static_cast<int>(d[0]);
}
__global__ void shuffle_by_some(int* a, int*) {
  if (threadIdx.x % 32 < 16) a[threadIdx.x] = __shfl_xor_sync(~0u, a[threadIdx.x], 1);
}
__global__ void shuffle_from_outside(int* a, int*) {
  if (threadIdx.x % 32 < 16) a[threadIdx.x] = __shfl_sync(0xFFFFu, a[threadIdx.x], 20);
}
__global__ void vote_by_some(int* a, int*) {
  if (threadIdx.x % 32 < 16) a[threadIdx.x] = static_cast<int>(__ballot_sync(~0u, a[threadIdx.x]));
}
__global__ void warp_barrier_by_some(int* a, int*) {
  if (threadIdx.x % 32 < 16) __syncwarp();
  a[threadIdx.x] = 1;
}
__global__ void divides_by_zero(int* a, int*) {
  a[threadIdx.x] = 5 / a[threadIdx.x];
}
__global__ void traps(int*, int*) {
  asm volatile("trap;");
}
__global__ void reads(int* a, int*) {
  a[threadIdx.x] = a[threadIdx.x] + 1;
}
__global__ void uses_an_unknown_instruction(int* a, int*) {
  int v;
  asm("vabsdiff4.s32.s32.s32 %0, %1, %2, %3;" : "=r"(v) : "r"(1), "r"(a[0]), "r"(3));
  a[0] = v;
}
__global__ void uses_an_unknown_modifier(float* a, int*) {
  float v;
  asm("add.ftz.f32 %0, %1, %2;" : "=f"(v) : "f"(a[0]), "f"(a[1]));
  a[0] = v;
}
__global__ void uses_a_stack(int* a, int*) {
  int local[32];
  for (int i = 0; i < 32; ++i) local[i] = a[i];
  a[0] = local[a[40] & 31] + local[a[41] & 31];
}
__global__ void uses_another_barrier(int* a, int*) {
  asm volatile("bar.sync 1, 64;" ::: "memory");
  a[threadIdx.x] = 1;
}

}  // namespace

std::vector<Named> faulty_kernels() {
#define NAMED(kernel) \
  { #kernel, reinterpret_cast < const void*>(kernel) }
  return {NAMED(shared_race),
          NAMED(shared_overwritten),
          NAMED(shuffle_for_a_barrier),
          NAMED(uninitialised_shared),
          NAMED(uninitialised_device),
          NAMED(device_overrun),
          NAMED(device_underrun),
          NAMED(shared_overrun),
          NAMED(misaligned),
          NAMED(no_memory),
          NAMED(blocks_race),
          NAMED(blocks_read),
          NAMED(atomic_and_store),
          NAMED(last_block_without_fence),
          NAMED(barriers_of_two_branches),
          NAMED(barrier_for_some),
          NAMED(barrier_after_end),
          NAMED(ends_with_copies),
          NAMED(copy_not_waited_for),
          NAMED(copy_of_another_thread),
          NAMED(copy_misaligned),
          NAMED(copy_too_long),
          NAMED(mma_by_some),
          NAMED(ldmatrix_misaligned),
          NAMED(shuffle_by_some),
          NAMED(shuffle_from_outside),
          NAMED(vote_by_some),
          NAMED(warp_barrier_by_some),
          NAMED(divides_by_zero),
          NAMED(traps),
          NAMED(reads),
          NAMED(uses_an_unknown_instruction),
          NAMED(uses_an_unknown_modifier),
          NAMED(uses_a_stack),
          NAMED(uses_another_barrier)};
#undef NAMED
}

}  // namespace mipha::machine::kernels
