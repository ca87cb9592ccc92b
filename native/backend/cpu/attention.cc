#include "backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mipha::cpu {
namespace {

constexpr int kTileRows = 64;
constexpr int kTileKeys = 2 * kBlockRows;
constexpr float kNone = -std::numeric_limits<float>::infinity();

}  // namespace

Attention::Attention(Arena& arena, int threads, int heads, int head_size, int positions)
    : heads_(heads), head_size_(head_size), padded_head_((head_size + 15) / 16 * 16) {
  for (int i = 0; i < threads; ++i) {
    Scratch scratch;
    scratch.q = arena.take<float>(kTileRows * head_size);
    scratch.keys = arena.take<float>(head_size * kTileKeys);
    scratch.values = arena.take<float>(kTileKeys * padded_head_);
    scratch.scores = arena.take<float>(std::max(kTileRows * kTileKeys, positions));
    scratch.sum = arena.take<float>(kTileRows * padded_head_);
    scratch.max = arena.take<float>(kTileRows);
    scratch.total = arena.take<float>(kTileRows);
    scratch_.push_back(scratch);
  }
}

void Attention::prefill(const Team& team, const CacheBlocks& cache, int layer, const Attended& rows, const float* q, size_t q_stride,
                        float* out) const {
  const int tiles = (rows.count + kTileRows - 1) / kTileRows;
  team.pool.each(heads_ * tiles, [&](int index, int thread) {
    prefill_tile(team.kernels, cache, layer, index / tiles, rows, index % tiles * kTileRows, q, q_stride, out, scratch_[thread]);
  });
}

void Attention::prefill_tile(const Kernels& kernels, const CacheBlocks& cache, int layer, int head, const Attended& rows, int first_row,
                             const float* q, size_t q_stride, float* out, const Scratch& s) const {
  const int count = std::min(kTileRows, rows.count - first_row), d = head_size_, column = head * d;
  const int kv_head = head / (heads_ / cache.heads());
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  for (int i = 0; i < count; ++i) {
    std::copy_n(q + (first_row + i) * q_stride + column, d, s.q + i * d);
    s.max[i] = kNone;
    s.total[i] = 0;
  }
  kernels.scale(s.q, scale, static_cast<size_t>(count) * d);
  std::fill_n(s.sum, count * padded_head_, 0.0f);

  const int positions = rows.causal ? rows.first + first_row + count : rows.first + rows.count;  // no row of this tile sees further
  for (int base = 0; base < positions; base += kTileKeys) {
    const int keys = std::min(kTileKeys, positions - base);
    for (int part = 0; part < kTileKeys; part += kBlockRows) {
      const int in_part = std::clamp(keys - part, 0, kBlockRows);
      if (in_part < kBlockRows) {  // gemm_f32 works on whole panels: what lies beyond the last key must be finite
        for (int i = 0; i < d; ++i) std::fill_n(s.keys + i * kTileKeys + part, kBlockRows, 0.0f);
        std::fill_n(s.values + part * padded_head_, kBlockRows * padded_head_, 0.0f);
      }
      if (in_part == 0) continue;
      const int block = rows.blocks[(base + part) / kBlockRows];
      kernels.transpose_half(cache.keys(layer, block, kv_head), d, d, in_part, s.keys + part, kTileKeys);
      const half_t* values = cache.values(layer, block, kv_head);
      for (int i = 0; i < in_part; ++i) kernels.from_half(values + i * d, s.values + (part + i) * padded_head_, d);
    }
    kernels.gemm_f32(s.q, d, count, d, s.keys, kTileKeys, kTileKeys, s.scores, kTileKeys, false);
    for (int i = 0; i < count; ++i) {
      float* row = s.scores + i * kTileKeys;
      const int seen = rows.causal ? std::clamp(rows.first + first_row + i + 1 - base, 0, keys) : keys;
      std::fill(row + seen, row + kTileKeys, 0.0f);
      if (seen == 0) continue;
      const float before = s.max[i];
      const float total = kernels.softmax_block(row, seen, &s.max[i]);
      const float correction = before == kNone ? 0.0f : std::exp(before - s.max[i]);
      s.total[i] = s.total[i] * correction + total;
      if (correction != 1.0f) kernels.scale(s.sum + i * padded_head_, correction, padded_head_);
    }
    kernels.gemm_f32(s.scores, kTileKeys, count, kTileKeys, s.values, padded_head_, padded_head_, s.sum, padded_head_, true);
  }
  const size_t out_stride = static_cast<size_t>(heads_) * d;
  for (int i = 0; i < count; ++i) {
    kernels.scale(s.sum + i * padded_head_, 1.0f / s.total[i], d);
    std::copy_n(s.sum + i * padded_head_, d, out + (first_row + i) * out_stride + column);
  }
}

void Attention::decode(const Team& team, const CacheBlocks& cache, int layer, const Attended* rows, int count, const float* q, size_t q_stride,
                       float* out) const {
  const size_t out_stride = static_cast<size_t>(heads_) * head_size_;
  team.pool.each(heads_, [&](int head, int thread) {
    for (int i = 0; i < count; ++i) {
      decode_row(team.kernels, cache, layer, head, rows[i], q + i * q_stride + head * head_size_, out + i * out_stride + head * head_size_,
                 scratch_[thread]);
    }
  });
}

void Attention::decode_row(const Kernels& kernels, const CacheBlocks& cache, int layer, int head, const Attended& row, const float* q, float* out,
                           const Scratch& s) const {
  const int d = head_size_, positions = row.first + 1, kv_head = head / (heads_ / cache.heads());
  std::copy_n(q, d, s.q);
  kernels.scale(s.q, 1.0f / std::sqrt(static_cast<float>(d)), d);
  for (int base = 0; base < positions; base += kBlockRows) {
    kernels.dot_half(s.q, cache.keys(layer, row.blocks[base / kBlockRows], kv_head), d, std::min(kBlockRows, positions - base), d, s.scores + base);
  }
  float max = kNone;
  const float total = kernels.softmax_block(s.scores, positions, &max);
  std::fill_n(s.sum, d, 0.0f);
  for (int base = 0; base < positions; base += kBlockRows) {
    kernels.weighted_half(s.scores + base, cache.values(layer, row.blocks[base / kBlockRows], kv_head), d, std::min(kBlockRows, positions - base), d,
                          s.sum);
  }
  kernels.scale(s.sum, 1.0f / total, d);
  std::copy_n(s.sum, d, out);
}

}  // namespace mipha::cpu
