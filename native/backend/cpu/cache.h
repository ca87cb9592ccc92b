// Keys and values of every layer as f16, in blocks of rows that sequences share (backend/block_tables.h).
#pragma once

#include <cstdint>

#include "backend/cpu/kernels.h"
#include "core/arena.h"

namespace mipha::cpu {

constexpr int kBlockRows = 32;

/// Storage only: [layer][block][k, v][head][kBlockRows][head_size] f16.
class CacheBlocks {
 public:
  CacheBlocks() = default;
  CacheBlocks(Arena& arena, int layers, int blocks, int heads, int head_size);

  int heads() const { return heads_; }
  int head_size() const { return head_size_; }
  int blocks() const { return blocks_; }

  /// Row 0 of a head's part of a block; rows follow head_size() apart.
  half_t* keys(int layer, int block, int head) const { return part(layer, block, 0) + offset(head); }
  half_t* values(int layer, int block, int head) const { return part(layer, block, 1) + offset(head); }

  /// Copies all rows of all layers.
  void copy(int from, int to) const;

 private:
  size_t part_size() const { return static_cast<size_t>(heads_) * kBlockRows * head_size_; }
  half_t* part(int layer, int block, int kv) const { return base_ + ((static_cast<size_t>(layer) * blocks_ + block) * 2 + kv) * part_size(); }
  size_t offset(int head) const { return static_cast<size_t>(head) * kBlockRows * head_size_; }

  half_t* base_ = nullptr;
  int layers_ = 0, blocks_ = 0, heads_ = 0, head_size_ = 0;
};

}  // namespace mipha::cpu
