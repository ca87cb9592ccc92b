// Keys and values of every layer as f16, in blocks of rows that sequences share: a fork costs a table, not a copy. A block that more than one
// sequence holds is copied when one of them writes to it.
#pragma once

#include <cstdint>
#include <vector>

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

/// Which blocks each sequence holds.
class BlockTables {
 public:
  BlockTables(const CacheBlocks& cache, int context);

  int create();
  int fork(int sequence);
  void truncate(int sequence, int length);
  void release(int sequence);

  int length(int sequence) const { return at(sequence).length; }
  const int* blocks(int sequence) const { return at(sequence).blocks.data(); }

  /// Rows that extend() would still grant.
  int room(int sequence) const;

  /// Sets blocks aside for `rows` more rows, instead of what was set aside before. False, and nothing changes, when there are not enough.
  bool reserve(int sequence, int rows);

  /// Grows the sequence by `rows` writable rows. Throws kContextFull or kMemory, and then nothing has changed.
  void extend(int sequence, int rows);

 private:
  struct Table {
    bool live = false;
    int length = 0;
    int promised = 0;  // free blocks set aside for it
    std::vector<int> blocks;
  };
  const Table& at(int sequence) const;
  Table& at(int sequence) { return const_cast<Table&>(static_cast<const BlockTables*>(this)->at(sequence)); }
  int slot();
  int take(Table& table);
  int available(const Table& table) const;
  int needed(const Table& table, int rows) const;
  void drop(int block);
  bool shares_tail(const Table& table) const;

  const CacheBlocks& cache_;
  const int context_;
  std::vector<Table> tables_;
  std::vector<int> holders_;  // [blocks] how many sequences hold it
  std::vector<int> free_;
  int promised_ = 0;  // blocks of free_ that are set aside
};

}  // namespace mipha::cpu
