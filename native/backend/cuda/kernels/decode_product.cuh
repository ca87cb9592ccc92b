/// A few rows times matrices whose weights are read once: a block takes tiles of 16 places in turn, its warps share the columns of each.
#pragma once

#include "backend/cuda/kernels/decode_rows.cuh"

namespace mipha::cuda {

/// What a kernel needs of a Matrix.
struct Weights {
  const uint4* tiles;
  const float *scale, *bias;
  int count;  // tiles
};

/// One load of 16 bytes a lane is a step: 32 columns of INT8, 16 of FP16.
template <Format kFormat>
struct Steps {
  static constexpr bool kWide = kFormat != Format::kS8;
  static constexpr int kColumns = kFormat == Format::kF16 ? 16 : 32;
  static constexpr int kRowBytes = kFormat == Format::kS8Wide ? 64 : 32;  // of a step, in a row of shared memory
  using Sum = float;
};
template <>
struct Steps<Format::kS8> {
  static constexpr bool kWide = false;
  static constexpr int kColumns = 32, kRowBytes = 32;
  using Sum = int;
};

/// Two values side by side, stored at once.
template <class T>
struct Two;
template <>
struct Two<int> {
  using Type = int2;
};
template <>
struct Two<float> {
  using Type = float2;
};

__device__ __forceinline__ void multiply_halves(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, const char* b) {
  const uint2 columns = *reinterpret_cast<const uint2*>(b);
  const uint32_t av[4] = {a0, a1, a2, a3}, bv[2] = {columns.x, columns.y};
  mma_f16(c, av, bv);
}
template <Format kFormat>
__device__ __forceinline__ void multiply(typename Steps<kFormat>::Sum (&c)[4], const uint4& a, const char* b) {
  if constexpr (kFormat == Format::kS8) {
    const uint2 columns = *reinterpret_cast<const uint2*>(b);
    const uint32_t av[4] = {a.x, a.y, a.z, a.w}, bv[2] = {columns.x, columns.y};
    mma_s8(c, av, bv);
  } else if constexpr (kFormat == Format::kF16) {
    multiply_halves(c, a.x, a.y, a.z, a.w, b);
  } else {
    const Halves first[2] = {halves_of_s8(a.x), halves_of_s8(a.y)}, second[2] = {halves_of_s8(a.z), halves_of_s8(a.w)};  // rows g and g + 8
    multiply_halves(c, first[0].low, first[1].low, first[0].high, first[1].high, b);
    multiply_halves(c, second[0].low, second[1].low, second[0].high, second[1].high, b + 32);
  }
}

/// The steps of one warp through tile after tile: warp, warp + 8, … of each. The loads run kAhead steps ahead, from one tile into the next.
template <Format kFormat>
class Sweep {
 public:
  static constexpr int kAhead = 8, kStride = kDecodeWarps * 32;  // uint4 from one step of a warp to its next
  /// Taken in turn: the next product does not wait for the one before, for which the compiler pads with instructions. Wide ones convert meanwhile,
  /// and have no registers left.
  static constexpr int kSums = kFormat == Format::kS8Wide ? 1 : 2;
  using Sum = typename Steps<kFormat>::Sum;

  __device__ __forceinline__ explicit Sweep(int steps) {
    const int mine = (steps - static_cast<int>(threadIdx.x) / 32 + kDecodeWarps - 1) / kDecodeWarps;
    groups_ = mine / kAhead;
    rest_ = mine % kAhead;
  }

  /// at: the first step of the first tile.
  __device__ __forceinline__ void begin(const uint4* at) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      if (groups_ > 0 || i < rest_) ahead_[i] = load_once(at + i * kStride);
    }
  }

  /// The sum of c's += the tile at `at`, then loads of the tile at `next` are under way unless it is null. b: the lane's columns of the warp's first
  /// step.
  __device__ __forceinline__ void tile(Sum (&c)[kSums][4], const uint4* at, const uint4* next, const char* b) {
    constexpr int kBytes = kDecodeWarps * Steps<kFormat>::kRowBytes;
    at += kAhead * kStride;
#pragma unroll 1
    for (int left = groups_; left > 1; --left) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        multiply<kFormat>(c[i % kSums], ahead_[i], b + i * kBytes);
        ahead_[i] = load_once(at + i * kStride);
      }
      at += kAhead * kStride;
      b += kAhead * kBytes;
    }
    if (groups_ > 0) {
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        multiply<kFormat>(c[i % kSums], ahead_[i], b + i * kBytes);
        if (i < rest_) {
          ahead_[i] = load_once(at + i * kStride);
        } else if (next != nullptr) {
          ahead_[i] = load_once(next + i * kStride);
        }
      }
      b += kAhead * kBytes;
    }
#pragma unroll
    for (int i = 0; i < kAhead - 1; ++i) {
      if (i >= rest_) break;
      multiply<kFormat>(c[i % kSums], ahead_[i], b + i * kBytes);
      if (next != nullptr) ahead_[i] = load_once(next + i * kStride);
    }
  }

 private:
  uint4 ahead_[kAhead];
  int groups_, rest_;  // full rounds of kAhead steps, and what is left
};

/// The product of the rows of `in` with the matrices of `out` (decode_epilogues.cuh), by `blocks` blocks of which this is the `block`th.
template <Format kFormat, class Input, class Output>
__device__ __forceinline__ void decode_product(const int32_t* live, const Input& in, Output out, int depth, int block, int blocks) {
  using Sum = typename Steps<kFormat>::Sum;
  constexpr bool kWide = Steps<kFormat>::kWide;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4, t = lane % 4;
  const int steps = depth / Steps<kFormat>::kColumns, tiles = out.tiles();

  Sweep<kFormat> sweep(steps);
  int tile = block;  // a grid has no more blocks than tiles
  const uint4* at = out.tile(tile, steps) + (warp * 32 + lane);
  sweep.begin(at);  // on their way before the rows are looked at, or whether the step is wanted
  if (!is_live(live)) return;
  stage<kWide>(in, depth);
  __syncthreads();

  const int row = g < in.count ? g : in.count - 1;  // columns of B beyond the rows: any, nobody reads their sums
  const char* b = shared<char>(kRowsAt) + (row * row_pitch(depth, kWide) + warp * Steps<kFormat>::kRowBytes + t * 8);
  // Of the sums of a tile lane 8 * r + i of a warp has places i and i + 8 for row r, or, of every second warp, row 4 + r. Pairs of warps take turns.
  const int mine = lane / 8 + warp % 2 * 4, place = lane % 8;
  for (int turn = 0; tile < tiles; ++turn) {
    const int next = tile + blocks;
    const uint4* const next_at = next < tiles ? out.tile(next, steps) + (warp * 32 + lane) : nullptr;
    Sum c[Sweep<kFormat>::kSums][4] = {};
    sweep.tile(c, at, next_at, b);

    if constexpr (Sweep<kFormat>::kSums == 2) {
#pragma unroll
      for (int i = 0; i < 4; ++i) c[0][i] += c[1][i];
    }
    Sum* const sums = shared<Sum>(turn % 2 * kSumBytes);  // the other's readers are behind this turn's barrier before these are written again
    reinterpret_cast<typename Two<Sum>::Type*>(sums)[(warp * kTileRows + g) * 4 + t] = {c[0][0], c[0][1]};
    reinterpret_cast<typename Two<Sum>::Type*>(sums)[(warp * kTileRows + g + 8) * 4 + t] = {c[0][2], c[0][3]};
    const bool joins = warp / 2 == turn % (kDecodeWarps / 2) && mine < in.count;
    float scale[2] = {1, 1}, bias[2] = {0, 0};
    if (joins) out.constants(tile, place, scale, bias);
    __syncthreads();
    if (joins) {
      Sum upper = 0, lower = 0;
#pragma unroll
      for (int w = 0; w < kDecodeWarps; ++w) {
        upper += sums[(w * kTileRows + place) * kMostSequences + mine];
        lower += sums[(w * kTileRows + place + 8) * kMostSequences + mine];
      }
      const float of_row = *shared<float>(kScaleAt + 4 * mine);
      const float y0 = __fadd_rn(__fmul_rn(static_cast<float>(upper), __fmul_rn(of_row, scale[0])), bias[0]);
      const float y1 = __fadd_rn(__fmul_rn(static_cast<float>(lower), __fmul_rn(of_row, scale[1])), bias[1]);
      out.take(tile, place, mine, y0, y1);
    }
    tile = next;
    at = next_at;
  }
  out.finish(in.count, mine);
}

}  // namespace mipha::cuda
