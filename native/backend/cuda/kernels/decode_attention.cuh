/// Attention of one new row: its queries against the cache, in FP32. A group of lanes takes a row of keys and values at a time and has a softmax of
/// its own; warps, then the splits of the cache, are joined at the end in a fixed order.
#pragma once

#include "backend/cuda/kernels/decode_rows.cuh"

namespace mipha::cuda {

/// Lanes that share a row of the cache: 8 elements each.
MIPHA_BOTH constexpr int lanes_of(int head_size) {
  return head_size <= 64 ? 8 : head_size <= 128 ? 16 : 32;
}
/// Rows of a group that are loaded together: what registers there are.
MIPHA_BOTH constexpr int rows_ahead(int heads) {
  return heads == 1 ? 4 : 2;
}

/// Blocks of the cache that one split takes; so many of 32 rows that all warps of a block have work.
MIPHA_BOTH constexpr int blocks_of_split(int blocks, int splits) {
  const int share = (blocks + splits - 1) / splits;
  return share < 2 ? 2 : share;
}

/// Query heads that are taken together, of a group of them that shares keys.
MIPHA_BOTH constexpr int heads_together(int group) {
  return group == 1 ? 1 : 4;
}

/// Shared memory: [warp] largest result, [head][head_size] queries, [head][group of lanes][head_size + 2] sums, top score and weight, then the
/// split's part of the block table.
constexpr unsigned kLargestAt = 0, kQueriesAt = kDecodeWarps * 4;
MIPHA_BOTH constexpr unsigned joined_at(int head_size, int heads) {
  return kQueriesAt + static_cast<unsigned>(heads * head_size) * 4;
}
MIPHA_BOTH constexpr unsigned split_table_at(int head_size, int heads) {
  return joined_at(head_size, heads) + static_cast<unsigned>(heads * kDecodeWarps * 32 / lanes_of(head_size) * (head_size + 2)) * 4;
}
MIPHA_BOTH constexpr unsigned attention_shared(int head_size, int heads, int table_stride, int splits) {
  return split_table_at(head_size, heads) + static_cast<unsigned>(blocks_of_split(table_stride, splits)) * 4;
}

/// Eight halves.
__device__ __forceinline__ void unpack(const uint4& from, float (&to)[8]) {
  const uint32_t pairs[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = unpack_half2(pairs[i]);
    to[2 * i] = pair.x, to[2 * i + 1] = pair.y;
  }
}

/// Scores are in units of log2 e: weights are powers of two.
__device__ __forceinline__ float weight_of(float score, float top) {
  return power_of_two(score - (top == -INFINITY ? 0 : top));
}

class AttentionBlock {
 public:
  /// Block `index` of count × kv_heads × splits.
  __device__ __forceinline__ AttentionBlock(const DecodeAttention& in, int index)
      : in_(in),
        size_(in.cache.head_size),
        group_(in.heads / in.cache.kv_heads),
        split_(index % in.splits),
        kv_head_(index / in.splits % in.cache.kv_heads),
        row_(index / in.splits / in.cache.kv_heads) {}

  template <int kLanes, int kHeads>
  __device__ __forceinline__ void run(const int32_t* live) {
    const Place place = in_.places[row_];
    if (!is_live(live)) return;
    const int visible = place.position + 1, blocks = (visible + kBlockRows - 1) / kBlockRows, share = blocks_of_split(blocks, in_.splits);
    const int used = (blocks + share - 1) / share, first = split_ * share;  // splits that have rows: the first ones
    if (split_ >= used) return;
    const int end = min(first + share, blocks);
    int32_t* const table = shared<int32_t>(split_table_at(size_, kHeads));
    const int32_t* const from = in_.tables.blocks + static_cast<int64_t>(place.table) * in_.tables.stride + first;
    for (int i = threadIdx.x; i < end - first; i += kDecodeThreads) table[i] = from[i];
    __syncthreads();

#pragma unroll 1
    for (int head = 0; head < group_; head += kHeads) heads<kLanes, kHeads>(head, table, first, min(end * kBlockRows, visible), used);
    if (used > 1 && !last(used)) return;
    if (used > 1) join_splits(used);
    note_largest();
  }

 private:
  /// Rows [32 * first, end) for the query heads [head, head + kHeads) of the group, as far as there are any.
  template <int kLanes, int kHeads>
  __device__ __forceinline__ void heads(int head, const int32_t* table, int first, int end, int used) {
    constexpr int kRowsAhead = rows_ahead(kHeads), kGroups = 32 / kLanes, kTogether = kGroups * kRowsAhead;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, chunk = lane % kLanes, mine = lane / kLanes;
    const bool has_chunk = chunk < size_ / 8;
    const float scale = 1.44269504f / __fsqrt_rn(static_cast<float>(size_));
    float* const queries = shared<float>(kQueriesAt);
    for (int i = threadIdx.x; i < kHeads * size_; i += kDecodeThreads) {
      const float* from = in_.q + (static_cast<int64_t>(row_) * in_.heads + kv_head_ * group_ + head) * size_;
      queries[i] = i < (group_ - head) * size_ ? from[i] * scale : 0;
    }
    float sums[kHeads][8], top[kHeads], weight[kHeads];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums[h][i] = 0;
      top[h] = -INFINITY;
      weight[h] = 0;
    }
    __syncthreads();

    const int64_t of_head = static_cast<int64_t>(kv_head_) * kBlockRows * size_,
                  values = static_cast<int64_t>(in_.cache.kv_heads) * kBlockRows * size_;
#pragma unroll 1
    for (int row = first * kBlockRows + warp * kTogether; row < end; row += kDecodeWarps * kTogether) {
      const __half* const block = in_.cache.base + table[row / kBlockRows - first] * in_.cache.block_stride + of_head;
      uint4 keys[kRowsAhead], held[kRowsAhead];
#pragma unroll
      for (int u = 0; u < kRowsAhead; ++u) {
        const int at = row + u * kGroups + mine;
        const __half* const key = block + at % kBlockRows * size_ + chunk * 8;
        keys[u] = held[u] = make_uint4(0, 0, 0, 0);
        if (has_chunk && at < end) {
          keys[u] = load_once(reinterpret_cast<const uint4*>(key));
          held[u] = load_once(reinterpret_cast<const uint4*>(key + values));
        }
      }
      float scores[kRowsAhead][kHeads], k[kRowsAhead][8];
#pragma unroll
      for (int u = 0; u < kRowsAhead; ++u) unpack(keys[u], k[u]);
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        const float4* const query = reinterpret_cast<const float4*>(queries + h * size_) + 2 * chunk;
        const float4 none = make_float4(0, 0, 0, 0), low = has_chunk ? query[0] : none, high = has_chunk ? query[1] : none;
        const float q[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int u = 0; u < kRowsAhead; ++u) {
          float score = 0;
#pragma unroll
          for (int i = 0; i < 8; ++i) score = fmaf(q[i], k[u][i], score);
#pragma unroll
          for (int other = kLanes / 2; other > 0; other /= 2) score += __shfl_xor_sync(0xFFFFFFFFu, score, other);
          scores[u][h] = row + u * kGroups + mine < end ? score : -INFINITY;
        }
      }
#pragma unroll
      for (int h = 0; h < kHeads; ++h) {
        float highest = top[h];
#pragma unroll
        for (int u = 0; u < kRowsAhead; ++u) highest = fmaxf(highest, scores[u][h]);
        const float keep = weight_of(top[h], highest);
        top[h] = highest;
        weight[h] *= keep;
#pragma unroll
        for (int i = 0; i < 8; ++i) sums[h][i] *= keep;
#pragma unroll
        for (int u = 0; u < kRowsAhead; ++u) weight[h] += scores[u][h] = weight_of(scores[u][h], highest);
      }
#pragma unroll
      for (int u = 0; u < kRowsAhead; ++u) {
        float v[8];
        unpack(held[u], v);
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
#pragma unroll
          for (int i = 0; i < 8; ++i) sums[h][i] = fmaf(scores[u][h], v[i], sums[h][i]);
        }
      }
    }

    float* const joined = shared<float>(joined_at(size_, kHeads));
    const int pitch = size_ + 2, groups = kDecodeWarps * kGroups;
    __syncthreads();  // the heads before have been read
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float* const to = joined + (h * groups + warp * kGroups + mine) * pitch;
      if (has_chunk) {
#pragma unroll
        for (int i = 0; i < 8; ++i) to[chunk * 8 + i] = sums[h][i];
      }
      if (chunk == 0) to[size_] = top[h], to[size_ + 1] = weight[h];
    }
    __syncthreads();
    const int results = min(kHeads, group_ - head) * size_;
    each<kDecodeThreads>(results, [&](int at) {
      const int h = at / size_, i = at % size_;
      const Parts all{joined + h * groups * pitch, pitch, groups, size_};
      const float highest = all.top<false>();
      const float2 sum = all.sum<false>(i, highest);
      if (used == 1) {
        put(head + h, i, sum.x / sum.y);
      } else {
        float* const part = in_.partial + (first_part(head + h) + split_) * pitch;
        part[i] = sum.x;
        if (i == 0) part[size_] = highest, part[size_ + 1] = sum.y;
      }
    });
  }

  /// Softmaxes over parts of the rows: size sums, the top score, the weight.
  struct Parts {
    const float* from;
    int pitch, count, size;

    template <bool kOfOthers>  // written by other blocks
    __device__ __forceinline__ float at(int part, int i) const {
      const float* const value = from + part * pitch + i;
      return kOfOthers ? __ldcg(value) : *value;
    }
    template <bool kOfOthers>
    __device__ __forceinline__ float top() const {
      float highest = -INFINITY;
#pragma unroll 4
      for (int part = 0; part < count; ++part) highest = fmaxf(highest, at<kOfOthers>(part, size));
      return highest;
    }
    /// Element i of the sums and the weight.
    template <bool kOfOthers>
    __device__ __forceinline__ float2 sum(int i, float highest) const {
      float value = 0, weight = 0;
#pragma unroll 4
      for (int part = 0; part < count; ++part) {
        const float by = weight_of(at<kOfOthers>(part, size), highest);
        value = fmaf(at<kOfOthers>(part, i), by, value);
        weight = fmaf(at<kOfOthers>(part, size + 1), by, weight);
      }
      return make_float2(value, weight);
    }
  };

  __device__ __forceinline__ int64_t first_part(int head) const {
    return (static_cast<int64_t>(row_) * in_.heads + kv_head_ * group_ + head) * in_.splits;
  }

  /// Whether all other splits of these heads have left their parts.
  __device__ __forceinline__ bool last(int used) const {
    uint32_t* const before = shared<uint32_t>(kLargestAt);
    uint32_t* const arrived = in_.arrived + row_ * in_.cache.kv_heads + kv_head_;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      *before = atomicAdd(arrived, 1u);
      if (*before == static_cast<uint32_t>(used - 1)) *arrived = 0;
      __threadfence();
    }
    __syncthreads();
    const bool is_last = *before == static_cast<uint32_t>(used - 1);
    __syncthreads();
    return is_last;
  }

  __device__ __forceinline__ void join_splits(int used) {
    const int pitch = size_ + 2;
    each<kDecodeThreads>(group_ * size_, [&](int i) {
      const Parts all{in_.partial + first_part(i / size_) * pitch, pitch, used, size_};
      const float2 sum = all.sum<true>(i % size_, all.top<true>());
      put(i / size_, i % size_, sum.x / sum.y);
    });
  }

  __device__ __forceinline__ void put(int head, int i, float value) {
    const int n = (kv_head_ * group_ + head) * size_ + i;
    if (in_.smooth != nullptr) value *= in_.smooth[n];
    in_.out[static_cast<int64_t>(row_) * in_.heads * size_ + n] = value;
    const uint32_t bits = __float_as_uint(fabsf(value));
    if (value == value && bits > largest_) largest_ = bits;
  }

  __device__ __forceinline__ void note_largest() const {
    uint32_t* const largest = shared<uint32_t>(kLargestAt);
    const uint32_t of_warp = __reduce_max_sync(0xFFFFFFFFu, largest_);
    if (threadIdx.x % 32 == 0) largest[threadIdx.x / 32] = of_warp;
    __syncthreads();
    if (threadIdx.x != 0) return;
    uint32_t of_block = 0;
#pragma unroll
    for (int w = 0; w < kDecodeWarps; ++w) of_block = max(of_block, largest[w]);
    if (of_block > 0) atomicMax(in_.peak + row_, of_block);
  }

  const DecodeAttention& in_;
  int size_, group_, split_, kv_head_, row_;
  uint32_t largest_ = 0;  // |result| that is a number
};

}  // namespace mipha::cuda
