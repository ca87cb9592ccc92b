// Which rows of the cache each sequence holds. All sequences live in the same rows: a fork shares them, new ones are always written behind the
// highest that is in use, and when they come to the end, those in use move down into the gaps.
#pragma once

#include <vector>

#include "backend/sequence_list.h"

namespace mipha::tensorrt {

/// Rows [from, from + count) to [to, to + count).
struct Move {
  int from = 0, to = 0, count = 0;
};

class RowTables {
 public:
  /// What extend() changes, for restore().
  struct State {
    int length = 0, promised = 0;
  };

  /// Runs of new rows begin at multiples of `step`.
  RowTables(int capacity, int step, int context);

  int create() { return tables_.add({}); }
  int fork(int sequence);
  void truncate(int sequence, int length);
  void release(int sequence);

  int length(int sequence) const { return static_cast<int>(tables_.at(sequence).rows.size()); }
  /// The row of each position.
  const std::vector<int>& rows(int sequence) const { return tables_.at(sequence).rows; }

  /// Rows that extend() would still grant.
  int room(int sequence) const;
  /// Sets `rows` more rows aside, instead of what was set aside before. False, and nothing changes, when there are not enough.
  bool reserve(int sequence, int rows);

  /// Grants `rows` more rows, which place() then numbers. Throws kContextFull or kMemory, and then nothing has changed.
  State extend(int sequence, int rows);
  /// Takes an extension back, as far as it has come.
  void restore(int sequence, const State& state);

  /// Where a run of `count` granted rows begins: at a multiple of the step. `moves` must be made before it is written.
  int begin(int count, std::vector<Move>* moves);
  /// The next position of the sequence lies in `row`, which nobody holds.
  void place(int sequence, int row);

 private:
  struct Table {
    int promised = 0;  // rows set aside for it
    int granted = 0;   // rows of extend() not placed yet
    std::vector<int> rows;
  };
  int available(const Table& table) const;
  int top() const;
  std::vector<Move> compact();
  void drop(int row);

  const int step_, context_;
  const int usable_;  // rows that can be in use at once, wherever a run has to begin
  SequenceList<Table> tables_;
  std::vector<int> holders_;  // [capacity] how many sequences hold it
  int end_ = 0;               // no row from here on is held
  int held_ = 0, promised_ = 0, granted_ = 0;
};

}  // namespace mipha::tensorrt
