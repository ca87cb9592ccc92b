// Which blocks of rows of a key/value cache each sequence holds, wherever those rows lie: a fork costs a table, not a copy. A block that more than
// one sequence holds is copied when one of them is about to write to it.
#pragma once

#include <functional>
#include <vector>

#include "backend/sequence_list.h"

namespace mipha {

class BlockTables {
 public:
  /// All rows of a block, of every layer.
  using Copy = std::function<void(int from, int to)>;
  /// What extend() changes, for restore().
  struct State {
    int length = 0, promised = 0;  // promised: blocks
  };

  BlockTables(int blocks, int block_rows, int context, Copy copy);

  int create() { return tables_.add({}); }
  int fork(int sequence);
  void truncate(int sequence, int length);
  void release(int sequence);

  int length(int sequence) const { return tables_.at(sequence).length; }
  const int* blocks(int sequence) const { return tables_.at(sequence).blocks.data(); }

  /// Rows that extend() would still grant.
  int room(int sequence) const;

  /// Sets blocks aside for `rows` more rows, instead of what was set aside before. False, and nothing changes, when there are not enough.
  bool reserve(int sequence, int rows);

  /// Grows the sequence by `rows` writable rows. Throws kContextFull or kMemory, and then nothing has changed.
  State extend(int sequence, int rows);
  /// Takes an extension back. A tail that was copied for it stays the sequence's own.
  void restore(int sequence, const State& state);

 private:
  struct Table {
    int length = 0;
    int promised = 0;  // free blocks set aside for it
    std::vector<int> blocks;
  };
  int take(Table& table);
  int available(const Table& table) const;
  int blocks_for(int rows) const { return (rows + block_rows_ - 1) / block_rows_; }
  int needed(const Table& table, int rows) const;
  void drop(int block);
  bool shares_tail(const Table& table) const;

  const int block_rows_, context_;
  const Copy copy_;
  SequenceList<Table> tables_;
  std::vector<int> holders_;  // [blocks] how many sequences hold it
  std::vector<int> free_;
  int promised_ = 0;  // blocks of free_ that are set aside
};

}  // namespace mipha
