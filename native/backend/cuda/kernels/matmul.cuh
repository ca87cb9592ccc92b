// Products of many rows, prefill's and the tower's: y = x · Wᵀ, INT8 or FP16, and an epilogue that sees two results at a time. Weights are the A
// operand: their tiles (layout.h) travel through shared memory as they lie, 16 bytes per lane and operand, without conflicts. Rows are B: 64 bytes of
// each a stage, 16-byte chunks swizzled so that ldmatrix (INT8) or 8-byte loads (FP16, whose columns stand in another order) do not conflict either.
// Through shared memory rather than straight from the L2 cache because the warps of a block share each tile, and because cp.async keeps three stages
// under way without a register.
//
// The sum of a result runs over the columns in steps of 32 (INT8) or 16 (FP16), whatever the shape of the block: its bits depend on its row alone.
#pragma once

#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {

/// A block of kDown × kAcross warps, each of 64 places × 8 · kGroups rows. INT8: 128 bytes of shared memory are read for each mma of the large one,
/// 192 of the small one; a multiprocessor reads 128 in a clock, and an mma takes two clocks (Orin) or one (Hopper).
template <int kDown_, int kAcross_, int kGroups_, int kResident_>
struct BlockShape {
  static constexpr int kDown = kDown_, kAcross = kAcross_, kGroups = kGroups_, kResident = kResident_;
  static constexpr int kThreads = kDown * kAcross * kLanes, kTiles = 4 * kDown, kPlaces = kTiles * kTileRows, kRows = kAcross * kGroups * 8;
};
using LargeBlock = BlockShape<2, 2, 8, 2>;  // 128 places × 128 rows
using SmallBlock = BlockShape<1, 2, 4, 6>;  // 64 × 64: where large ones would leave multiprocessors idle

/// What one stage holds: kDepth columns, kTileBytes of each row of tiles, 64 bytes of each row.
template <Format kFormat>
struct Stage {
  static constexpr int kDepth = kFormat == Format::kS8 ? 64 : 32, kRowBytes = 64;
  static constexpr int kTileBytes = kFormat == Format::kS8Wide ? static_cast<int>(kS8TileBytes) : 1024;
  static constexpr bool kWide = kFormat != Format::kS8;
  template <class Block>
  static constexpr unsigned kBytes = Block::kTiles* kTileBytes + Block::kRows* kRowBytes;
};
constexpr int kStages = 4;

template <Format kFormat>
struct SumOf {
  using Type = float;
};
template <>
struct SumOf<Format::kS8> {
  using Type = int;
};

/// Copies of one thread: the same chunks of every stage, advanced by a stage each time. Where there is nothing to copy, zeros are written and the
/// address is not looked at.
template <Format kFormat, class Block>
struct Filler {
  using S = Stage<kFormat>;
  static constexpr int kChunksPerTile = S::kTileBytes / 16, kTileCopies = Block::kTiles * kChunksPerTile / Block::kThreads;
  static constexpr int kRowCopies = Block::kRows * 4 / Block::kThreads;
  const char *tile, *row;         // of this thread's first copies, in this stage
  unsigned tile_step, row_step;   // from one copy to the next
  unsigned to_tile, to_row;       // within a stage
  int tiles_inside, rows_inside;  // of its copies so many are of something
  int depth_left;                 // columns from this stage on
  bool in_first_half;             // of a stage's columns

  __device__ Filler(const Operand& in, int row_count, const Matrix& w, int tile0, int row0) : depth_left(w.depth) {
    constexpr int kTilesAtOnce = Block::kThreads / kChunksPerTile, kRowsAtOnce = Block::kThreads / 4;
    static_assert(Block::kThreads % kChunksPerTile == 0 && kRowsAtOnce % 8 == 0);
    const int thread = threadIdx.x, own_tile = tile0 + thread / kChunksPerTile, own_row = row0 + thread / 4;
    const unsigned tile_row_bytes = unsigned(w.depth / kTileDepth) * (kFormat == Format::kF16 ? kF16TileBytes : kS8TileBytes);
    const unsigned row_bytes = unsigned(w.depth) * (S::kWide ? 2 : 1);
    tile = static_cast<const char*>(w.tiles) + int64_t{own_tile} * tile_row_bytes + thread % kChunksPerTile * 16;
    row = static_cast<const char*>(in.values) + int64_t{own_row} * row_bytes + thread % 4 * 16;
    tile_step = kTilesAtOnce * tile_row_bytes, row_step = kRowsAtOnce * row_bytes;
    to_tile = thread * 16, to_row = Block::kTiles * S::kTileBytes + swizzled(thread / 4, thread % 4);
    tiles_inside = (w.places / kTileRows - own_tile + kTilesAtOnce - 1) / kTilesAtOnce;
    rows_inside = (row_count - own_row + kRowsAtOnce - 1) / kRowsAtOnce;
    in_first_half = thread % kChunksPerTile < kChunksPerTile / 2;
  }

  /// Chunk of 16 bytes `chunk` of a row within a stage.
  static __device__ unsigned swizzled(unsigned row, unsigned chunk) {
    return row * S::kRowBytes + (chunk ^ (row / 2 & (S::kWide ? 1 : 3)) << S::kWide) * 16;
  }

  __device__ void fill(unsigned stage) {
    // Only INT8 stages are deeper than a tile: the second half of the last one may be of nothing.
    const bool half = kFormat == Format::kS8 && depth_left < S::kDepth;
    const int tiles = half && !in_first_half ? 0 : tiles_inside, rows = half && threadIdx.x % 4 >= 2 ? 0 : rows_inside;
#pragma unroll
    for (int i = 0; i < kTileCopies; ++i) {
      cp_async16(shared<char>(stage + to_tile + i * Block::kThreads * 16), tile + i * tile_step, i < tiles ? 16 : 0);
    }
#pragma unroll
    for (int i = 0; i < kRowCopies; ++i) {
      cp_async16(shared<char>(stage + to_row + i * Block::kThreads * 16), row + i * row_step, i < rows ? 16 : 0);
    }
    tile += S::kTileBytes;
    row += S::kRowBytes;
    depth_left -= S::kDepth;
  }
};

/// Sums of a warp += the product of a stage. tiles, rows: where those of this warp begin.
template <class Block>
__device__ __forceinline__ void multiply_s8(unsigned tiles, unsigned rows, int (&c)[4][Block::kGroups][4]) {
  const unsigned lane = threadIdx.x % kLanes;
  const unsigned from = Filler<Format::kS8, Block>::swizzled(lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    uint32_t a[4][4], b[Block::kGroups][2];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const uint4 v = shared<const uint4>(tiles + unsigned(i * 1024 + k * 512))[lane];
      a[i][0] = v.x, a[i][1] = v.y, a[i][2] = v.z, a[i][3] = v.w;
    }
#pragma unroll
    for (int j = 0; j < Block::kGroups / 2; ++j) {  // 16 rows: matrices are (half of the rows, half of the columns)
      uint32_t d[4];
      ldmatrix_x4(d, shared<char>(rows + (from ^ unsigned(k * 32)) + unsigned(j * 1024)));
      b[2 * j][0] = d[0], b[2 * j][1] = d[1], b[2 * j + 1][0] = d[2], b[2 * j + 1][1] = d[3];
    }
#pragma unroll
    for (int j = 0; j < Block::kGroups; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) mma_s8(c[i][j], a[i], b[j]);
  }
}

template <Format kFormat, class Block>
__device__ __forceinline__ void multiply_f16(unsigned tiles, unsigned rows, float (&c)[4][Block::kGroups][4]) {
  const unsigned lane = threadIdx.x % kLanes, g = lane / 4, t = lane % 4;
  const unsigned from = Filler<kFormat, Block>::swizzled(g, t / 2) + t % 2 * 8;
  uint4 bytes[4];
  if (kFormat == Format::kS8Wide) {
#pragma unroll
    for (int i = 0; i < 4; ++i) bytes[i] = shared<const uint4>(tiles + unsigned(i * 512))[lane];
  }
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (kFormat == Format::kS8Wide) {
        const Halves g0 = halves_of_s8(k == 0 ? bytes[i].x : bytes[i].z), g8 = halves_of_s8(k == 0 ? bytes[i].y : bytes[i].w);
        a[i][0] = g0.low, a[i][1] = g8.low, a[i][2] = g0.high, a[i][3] = g8.high;
      } else {
        const uint4 v = shared<const uint4>(tiles + unsigned(i * 1024 + k * 512))[lane];
        a[i][0] = v.x, a[i][1] = v.y, a[i][2] = v.z, a[i][3] = v.w;
      }
    }
#pragma unroll
    for (int j = 0; j < Block::kGroups; ++j) {
      const uint2 v = shared<const uint2>(rows + (from ^ unsigned(k * 32)) + unsigned(j * 512))[0];
      const uint32_t b[2] = {v.x, v.y};
#pragma unroll
      for (int i = 0; i < 4; ++i) mma_f16(c[i][j], a[i], b);
    }
  }
}

/// An epilogue has: `Pair pair(w, place)` of the rows of W at `place` and `place` + 8; `Row row(row)` of a row of results; `Before before(row,
/// pair)`, what has to be read first; `float put(row, pair, before, y, y of the second)`, which gives the larger |value| where kPeaks: the largest of
/// a row go to `void peak(row, float)` where `bool peaks()`.
struct Nothing {};

template <Format kFormat, class Block, class Epilogue>
__global__ void __launch_bounds__(Block::kThreads, Block::kResident) multiply(const Operand in, int row_count, const Matrix w, const Epilogue what) {
  using S = Stage<kFormat>;
  using Sum = typename SumOf<kFormat>::Type;
  constexpr unsigned kStageBytes = S::template kBytes<Block>;
  const int lane = threadIdx.x % kLanes, warp = threadIdx.x / kLanes, g = lane / 4, t = lane % 4;
  const int down = warp % Block::kDown, across = warp / Block::kDown;
  const int tile0 = blockIdx.y * Block::kTiles, row0 = blockIdx.x * Block::kRows;
  const int steps = (w.depth + S::kDepth - 1) / S::kDepth;

  Sum c[4][Block::kGroups][4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
#pragma unroll
    for (int j = 0; j < Block::kGroups; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) c[i][j][e] = 0;

  Filler<kFormat, Block> filler(in, row_count, w, tile0, row0);
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) filler.fill(s * kStageBytes);
    cp_async_commit();
  }
  unsigned stage = 0, filled = (kStages - 1) * kStageBytes;
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // the stage has arrived for all, and nobody reads the one that is filled next
    if (step + kStages - 1 < steps) filler.fill(filled);
    cp_async_commit();
    const unsigned tiles = stage + down * 4 * S::kTileBytes;
    const unsigned rows = stage + Block::kTiles * S::kTileBytes + across * Block::kGroups * 8 * S::kRowBytes;
    if constexpr (kFormat == Format::kS8) {
      multiply_s8<Block>(tiles, rows, c);
    } else {
      multiply_f16<kFormat, Block>(tiles, rows, c);
    }
    filled = stage;
    stage = stage == (kStages - 1) * kStageBytes ? 0 : stage + kStageBytes;
  }
  cp_async_wait<0>();

  // What the rows need is found once for all warps, where the stages were.
  using Row = typename Epilogue::Row;
  static_assert(Block::kRows * (sizeof(Row) + sizeof(float)) <= kStageBytes && Block::kRows % Block::kThreads == 0);
  Row* const row_of = shared<Row>(0);
  float* const scale_of = shared<float>(Block::kRows * sizeof(Row));
  __syncthreads();
#pragma unroll
  for (int i = threadIdx.x; i < Block::kRows; i += Block::kThreads) {
    if (row0 + i >= row_count) break;
    row_of[i] = what.row(row0 + i);
    scale_of[i] = in.scale[row0 + i];
  }
  typename Epilogue::Pair pairs[4];
  float scale[4][2], bias[4][2];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int place = (tile0 + down * 4 + i) * kTileRows + g;
    const bool inside = place < w.places;
    pairs[i] = inside ? what.pair(w, place) : typename Epilogue::Pair();
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      scale[i][e] = inside && kFormat != Format::kF16 ? w.scale[place + 8 * e] : 1.0f;
      bias[i][e] = inside ? w.bias[place + 8 * e] : 0.0f;
    }
  }
  __syncthreads();

  // Eight lanes write 32 bytes in a row of one result row: whole sectors, without a detour through shared memory. Two rows at a time are read before
  // either is written: a load does not pass a store.
#pragma unroll
  for (int j = 0; j < Block::kGroups; ++j) {
    const int first = (across * Block::kGroups + j) * 8 + 2 * t;
    typename Epilogue::Before before[2][4];
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      if (row0 + first + e >= row_count) continue;
#pragma unroll
      for (int i = 0; i < 4; ++i) before[e][i] = what.before(row_of[first + e], pairs[i]);
    }
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int row = row0 + first + e;
      float peak = 0;
      if (row < row_count) {
        const Row to = row_of[first + e];
        const float x_scale = scale_of[first + e];
#pragma unroll
        for (int i = 0; i < 4; ++i) {  // rounded as on the CPU, without contraction
          const float y = __fadd_rn(__fmul_rn(static_cast<float>(c[i][j][e]), __fmul_rn(x_scale, scale[i][0])), bias[i][0]);
          const float second = __fadd_rn(__fmul_rn(static_cast<float>(c[i][j][2 + e]), __fmul_rn(x_scale, scale[i][1])), bias[i][1]);
          peak = fmaxf(peak, what.put(to, pairs[i], before[e][i], y, second));
        }
      }
      if constexpr (Epilogue::kPeaks) {
        if (what.peaks()) {
#pragma unroll
          for (int mask = 4; mask < kLanes; mask *= 2) peak = fmaxf(peak, __shfl_xor_sync(~0u, peak, mask));
          if (g == 0 && row < row_count) what.peak(row, peak);
        }
      }
    }
  }
}

template <Format kFormat, class Block, class Epilogue>
cudaError_t start_multiply(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Epilogue& what) {
  const dim3 grid((rows + Block::kRows - 1) / Block::kRows, (w.places + Block::kPlaces - 1) / Block::kPlaces);  // neighbours share weights
  constexpr unsigned kShared = kStages * Stage<kFormat>::template kBytes<Block>;
  return start(multiply<kFormat, Block, Epilogue>, grid, Block::kThreads, kShared, launch.stream, in, rows, w, what);
}

template <Format kFormat, class Epilogue>
cudaError_t start_multiply(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Epilogue& what) {
  const auto blocks = [](int count, int each) { return int64_t{(count + each - 1) / each}; };
  const bool fills = blocks(rows, LargeBlock::kRows) * blocks(w.places, LargeBlock::kPlaces) >= int64_t{2} * launch.processors;
  return rows > SmallBlock::kRows && fills ? start_multiply<kFormat, LargeBlock>(launch, in, rows, w, what)
                                           : start_multiply<kFormat, SmallBlock>(launch, in, rows, w, what);
}

template <class Epilogue>
cudaError_t start_multiply(const Launch& launch, const Operand& in, int rows, const Matrix& w, const Epilogue& what) {
  if (in.depth != w.depth || in.wide != (w.format != Format::kS8)) return cudaErrorInvalidValue;
  switch (w.format) {
    case Format::kS8:
      return start_multiply<Format::kS8>(launch, in, rows, w, what);
    case Format::kS8Wide:
      return start_multiply<Format::kS8Wide>(launch, in, rows, w, what);
    case Format::kF16:
      return start_multiply<Format::kF16>(launch, in, rows, w, what);
  }
  return cudaErrorInvalidValue;
}

}  // namespace mipha::cuda
