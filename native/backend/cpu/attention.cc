#include "backend/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace mipha::cpu {
namespace {

constexpr int kGroupRows = 384;  // share a tile's transposition, and lie with it in the core's second cache
constexpr int kTileRows = 30;    // in one product: whole blocks of the kernels, and few, because causal rows would compute what they do not see
constexpr int kTileKeys = 4 * kBlockRows;
constexpr int kLanes = 16;          // rows or heads that are decoded at once: their scores fit the core's second cache up to 4000 positions
constexpr int kAhead = 8;           // rows
constexpr int kWorthUnpacking = 3;  // so many rows that decode over the same block: converting takes as long as their two products
constexpr float kNone = -std::numeric_limits<float>::infinity();

int to_vector(int count) {
  return (count + 15) / 16 * 16;
}

/// Asks for `count` values that are needed soon: a head's part of a block or a row is too short for the processor to foresee it, and the next one is
/// far away.
template <typename T>
void fetch(const T* values, int count) {
  for (int i = 0; i < count; i += 64 / static_cast<int>(sizeof(T))) __builtin_prefetch(values + i, 0, 2);
}

/// Whether two spans see the same blocks at positions [base, base + kTileKeys) that both of them have.
bool share_tile(const Attended& a, const Attended& b, int base) {
  const auto blocks_up_to = [&](const Attended& span) { return std::min(kTileKeys, span.first + span.count - base + kBlockRows - 1) / kBlockRows; };
  const int count = blocks_up_to(a);
  return count == blocks_up_to(b) && std::equal(a.blocks + base / kBlockRows, a.blocks + base / kBlockRows + count, b.blocks + base / kBlockRows);
}

}  // namespace

Attention::Attention(Arena& arena, int threads, int heads, int head_size, int positions)
    : heads_(heads), head_size_(head_size), padded_head_(to_vector(head_size)) {
  for (int i = 0; i < threads; ++i) {
    Scratch scratch;
    scratch.q = arena.take<float>(kGroupRows * head_size);
    scratch.sum = arena.take<float>(kGroupRows * padded_head_);
    scratch.max = arena.take<float>(kGroupRows);
    scratch.total = arena.take<float>(kGroupRows);
    scratch.keys = arena.take<float>(head_size * kTileKeys);
    scratch.values = arena.take<float>(kTileKeys * padded_head_);
    scratch.value_pairs = arena.take<uint32_t>(kTileKeys / 2 * padded_head_);
    scratch.scores = arena.take<float>(std::max(kTileRows * kTileKeys, kLanes * positions));
    scratch.weights = arena.take<bfloat16_t>(kTileRows * kTileKeys);
    scratch_.push_back(scratch);
  }
}

void Attention::prefill(const Team& team, const CacheBlocks& cache, int layer, const Attended* spans, int span_count, const float* q, size_t q_stride,
                        float* out) const {
  int rows = 0;
  for (int i = 0; i < span_count; ++i) rows += spans[i].count;
  const int groups = (rows + kGroupRows - 1) / kGroupRows, group_rows = (rows + groups - 1) / groups;
  const size_t out_stride = static_cast<size_t>(heads_) * head_size_;
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_size_));
  team.pool.each(heads_ * groups, [&](int index, int thread) {
    const Kernels& kernels = team.kernels;
    const Scratch& s = scratch_[thread];
    const int head = index / groups, begin = index % groups * group_rows, end = std::min(rows, begin + group_rows);
    for (int i = begin; i < end; ++i) {
      const auto at = [&](int row) { return q + row * q_stride + head * head_size_; };
      fetch(at(std::min(i + kAhead, end - 1)), head_size_);
      kernels.scale(at(i), scale, s.q + (i - begin) * head_size_, head_size_);
    }
    std::vector<Part> parts;
    for (int i = 0, at = 0; i < span_count; at += spans[i++].count) {
      const int first = std::max(at, begin), last = std::min(at + spans[i].count, end);
      if (first < last) parts.push_back({spans + i, first - at, last - first, first - begin});
    }
    prefill_group(kernels, {cache, layer, head / (heads_ / cache.heads())}, parts.data(), static_cast<int>(parts.size()), s);
    for (int i = begin; i < end; ++i) {
      const auto at = [&](int row) { return out + row * out_stride + head * head_size_; };
      fetch(at(std::min(i + kAhead, end - 1)), head_size_);
      kernels.scale(s.sum + (i - begin) * padded_head_, 1.0f / s.total[i - begin], at(i), head_size_);
    }
  });
}

void Attention::prefill_group(const Kernels& kernels, const Head& head, const Part* parts, int part_count, const Scratch& s) const {
  const int rows = parts[part_count - 1].at + parts[part_count - 1].count;
  std::fill_n(s.sum, static_cast<size_t>(rows) * padded_head_, 0.0f);
  std::fill_n(s.max, rows, kNone);
  std::fill_n(s.total, rows, 0.0f);
  const auto seen = [](const Part& part) { return part.span->seen(part.first + part.count - 1); };
  int positions = 0;
  for (int i = 0; i < part_count; ++i) positions = std::max(positions, seen(parts[i]));

  for (int base = 0; base < positions; base += kTileKeys) {
    for (int i = 0, next; i < part_count; i = next) {
      next = i + 1;
      if (seen(parts[i]) <= base) continue;
      int keys = seen(parts[i]) - base;
      for (; next < part_count && seen(parts[next]) > base && share_tile(*parts[i].span, *parts[next].span, base); ++next) {
        keys = std::max(keys, seen(parts[next]) - base);
      }
      const Tile tile = make_tile(kernels, head, parts[i].span->blocks, base, std::min(keys, kTileKeys), s);
      for (const Part* part = parts + i; part < parts + next; ++part) {
        for (int row = 0; row < part->count; row += kTileRows) add_tile(kernels, tile, *part, row, std::min(kTileRows, part->count - row), s);
      }
    }
  }
}

/// Products work on whole vectors: what lies in one beyond the last key is made zero, because it must be finite.
Attention::Tile Attention::make_tile(const Kernels& kernels, const Head& head, const int* blocks, int base, int keys, const Scratch& s) const {
  const int d = head_size_;
  for (int part = 0; part < keys; part += kBlockRows) {
    const int count = std::min(kBlockRows, keys - part), block = blocks[(base + part) / kBlockRows];
    const half_t *const k = head.cache.keys(head.layer, block, head.kv), *const v = head.cache.values(head.layer, block, head.kv);
    if (count < kBlockRows) {
      for (int i = 0; i < d; ++i) std::fill_n(s.keys + i * kTileKeys + part, kBlockRows, 0.0f);
    }
    kernels.transpose_half(k, d, d, count, s.keys + part, kTileKeys);
    if (kernels.bf16 != nullptr) {
      kernels.bf16->pair_values(v, d, count, s.value_pairs + part / 2 * padded_head_, padded_head_);
      const int made = (count + 1) / 2, needed = to_vector(count) / 2;
      std::fill_n(s.value_pairs + (part / 2 + made) * padded_head_, (needed - made) * padded_head_, 0u);
    } else {
      float* const values = s.values + part * padded_head_;
      for (int i = 0; i < count; ++i) kernels.from_half(v + i * d, values + i * padded_head_, d);
      std::fill(values + count * padded_head_, values + to_vector(count) * padded_head_, 0.0f);
    }
  }
  return {base, keys};
}

void Attention::add_tile(const Kernels& kernels, const Tile& tile, const Part& part, int row, int count, const Scratch& s) const {
  const int at = part.at + row;
  int seen[kTileRows] = {};
  for (int i = 0; i < count; ++i) seen[i] = std::clamp(part.span->seen(part.first + row + i) - tile.base, 0, tile.keys);
  const int columns = to_vector(seen[count - 1]);
  if (columns == 0) return;
  float* const sum = s.sum + at * padded_head_;
  kernels.gemm_f32(s.q + at * head_size_, head_size_, count, head_size_, s.keys, kTileKeys, columns, s.scores, kTileKeys, false);
  for (int i = 0; i < count; ++i) {
    float* const scores = s.scores + i * kTileKeys;
    std::fill(scores + seen[i], scores + columns, 0.0f);
    if (seen[i] > 0) {
      float &max = s.max[at + i], &total = s.total[at + i];
      const float before = max, added = kernels.softmax_block(scores, seen[i], &max);
      const float correction = before == kNone ? 0.0f : std::exp(before - max);
      total = total * correction + added;
      if (correction != 1.0f) kernels.scale(sum + i * padded_head_, correction, sum + i * padded_head_, padded_head_);
    }
    if (kernels.bf16 != nullptr) kernels.bf16->round(scores, s.weights + i * kTileKeys, columns);
  }
  if (kernels.bf16 != nullptr) {
    kernels.bf16->gemm(s.weights, kTileKeys, count, columns / 2, s.value_pairs, padded_head_, padded_head_, sum, padded_head_, true);
  } else {
    kernels.gemm_f32(s.scores, kTileKeys, count, columns, s.values, padded_head_, padded_head_, sum, padded_head_, true);
  }
}

void Attention::decode(const Team& team, const CacheBlocks& cache, int layer, const Attended* rows, int count, const float* q, size_t q_stride,
                       float* out) const {
  const size_t out_stride = static_cast<size_t>(heads_) * head_size_;
  const int shared_by = heads_ / cache.heads(), together = count > 1 ? 1 : heads_at_once(team.pool.threads());
  team.pool.each((heads_ + together - 1) / together, [&](int index, int thread) {
    Lane lanes[kLanes];
    int filled = 0;
    const auto flush = [&] {
      decode_lanes(team.kernels, cache, layer, lanes, filled, scratch_[thread]);
      filled = 0;
    };
    for (int i = 0; i < count; ++i) {
      for (int head = index * together; head < std::min(heads_, (index + 1) * together); ++head) {
        const size_t column = static_cast<size_t>(head) * head_size_;
        lanes[filled++] = {rows + i, head / shared_by, q + i * q_stride + column, out + i * out_stride + column};
        if (filled == kLanes) flush();
      }
    }
    if (filled > 0) flush();
  });
}

void Attention::decode_lanes(const Kernels& kernels, const CacheBlocks& cache, int layer, const Lane* lanes, int count, const Scratch& s) const {
  const int d = head_size_;
  const float scale = 1.0f / std::sqrt(static_cast<float>(d));
  int positions = 0;  // of the longest
  for (int i = 0; i < count; ++i) {
    positions = std::max(positions, lanes[i].row->seen(0));
    kernels.scale(lanes[i].q, scale, s.q + i * d, d);
  }
  std::fill_n(s.sum, count * padded_head_, 0.0f);

  // body(first, sharing, scores, keys, part): keys or values of one block as lanes [first, first + sharing) see it, and the scores of the first.
  // Block after block, as they lie in memory; the next ones are on their way.
  const auto each_block = [&](half_t* (CacheBlocks::*part)(int, int, int) const, const auto& body) {
    for (int base = 0; base < positions; base += kBlockRows) {
      const int number = base / kBlockRows;
      const auto keys_of = [&](const Lane& lane) { return std::min(kBlockRows, lane.row->seen(0) - base); };
      const half_t* asked = nullptr;
      for (int i = 0, next; i < count; i = next) {
        next = i + 1;
        const int kv_head = lanes[i].kv_head, keys = keys_of(lanes[i]);
        if (keys <= 0) continue;
        const int block = lanes[i].row->blocks[number];
        const auto is_same = [&](const Lane& lane) { return lane.kv_head == kv_head && keys_of(lane) == keys && lane.row->blocks[number] == block; };
        while (next < count && is_same(lanes[next])) ++next;
        for (int lane = i; lane < next; ++lane) {
          if (lanes[lane].row->seen(0) - base <= kBlockRows) continue;
          const half_t* const following = (cache.*part)(layer, lanes[lane].row->blocks[number + 1], kv_head);
          if (following != asked) fetch(asked = following, kBlockRows * d);
        }
        body(i, next - i, s.scores + static_cast<size_t>(i) * positions + base, keys, (cache.*part)(layer, block, kv_head));
      }
    }
  };
  each_block(&CacheBlocks::keys, [&](int first, int sharing, float* scores, int keys, const half_t* k) {
    const bool is_unpacked = sharing >= kWorthUnpacking;
    if (is_unpacked) kernels.from_half(k, s.keys, static_cast<size_t>(keys) * d);
    for (int i = 0; i < sharing; ++i, scores += positions) {
      const float* const row = s.q + (first + i) * d;
      is_unpacked ? kernels.dot_float(row, s.keys, d, keys, d, scores) : kernels.dot_half(row, k, d, keys, d, scores);
    }
  });
  for (int i = 0; i < count; ++i) {
    s.max[i] = kNone;
    s.total[i] = kernels.softmax_block(s.scores + static_cast<size_t>(i) * positions, lanes[i].row->seen(0), &s.max[i]);
  }
  each_block(&CacheBlocks::values, [&](int first, int sharing, float* scores, int keys, const half_t* v) {
    float* const sum = s.sum + first * padded_head_;
    if (sharing >= kWorthUnpacking) {
      for (int i = 0; i < keys; ++i) kernels.from_half(v + i * d, s.values + i * padded_head_, d);
      kernels.gemm_f32(scores, positions, sharing, keys, s.values, padded_head_, padded_head_, sum, padded_head_, true);
      return;
    }
    for (int i = 0; i < sharing; ++i) kernels.weighted_half(scores + i * positions, v, d, keys, d, sum + i * padded_head_);
  });
  for (int i = 0; i < count; ++i) kernels.scale(s.sum + i * padded_head_, 1.0f / s.total[i], lanes[i].out, d);
}

}  // namespace mipha::cpu
