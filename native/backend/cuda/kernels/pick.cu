/// pick: the likeliest of some ids.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr int kPickThreads = 1024, kPickWarps = kPickThreads / 32;

/// The likeliest of some candidates, and the second logit.
struct Best {
  float first, second;
  int at;  // in the list; -1: none

  __device__ __forceinline__ void meet(const Best& other) {
    const bool theirs = other.at >= 0 && (at < 0 || other.first > first || (other.first == first && other.at < at));
    second = theirs ? fmaxf(first, other.second) : fmaxf(second, other.first);
    if (theirs) first = other.first, at = other.at;
  }
};

__device__ __forceinline__ Best over_warp(Best best) {
#pragma unroll
  for (int other = 16; other > 0; other /= 2) {
    best.meet({__shfl_xor_sync(0xFFFFFFFFu, best.first, other), __shfl_xor_sync(0xFFFFFFFFu, best.second, other),
               __shfl_xor_sync(0xFFFFFFFFu, best.at, other)});
  }
  return best;
}

/// One block for each pick.
__global__ void __launch_bounds__(kPickThreads) pick_likeliest(const int32_t* live, const Pick* picks) {
  if (!is_live(live)) return;
  const Pick pick = picks[blockIdx.x];
  const Best none{-INFINITY, -INFINITY, -1};
  Best best = none;
  each<kPickThreads>(pick.candidate_count, [&](int i) {
    const float logit = pick.logits[pick.candidates[i]];
    if (isfinite(logit)) best.meet({logit, -INFINITY, i});
  });
  best = over_warp(best);
  Best* const of_warps = shared<Best>(0);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = over_warp(of_warps[threadIdx.x]);
  if (threadIdx.x != 0) return;
  *pick.id = best.at < 0 ? -1 : pick.candidates[best.at];
  *pick.margin = best.at < 0 ? 0 : best.first - best.second;
}

}  // namespace

cudaError_t pick(const Launch& launch, const Pick* picks, int count) {
  return start(pick_likeliest, static_cast<unsigned>(count), kPickThreads, kPickWarps * sizeof(Best), launch.stream, launch.live, picks);
}

}  // namespace mipha::cuda
