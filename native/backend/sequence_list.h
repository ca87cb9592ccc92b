// Sequences as small numbers, and what a cache knows of each.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace mipha {

template <class Table>
class SequenceList {
 public:
  /// Under the first number that is free.
  int add(Table table) {
    const auto free = std::find(tables_.begin(), tables_.end(), std::nullopt);
    const int sequence = static_cast<int>(free - tables_.begin());
    if (free == tables_.end())
      tables_.emplace_back(std::move(table));
    else
      *free = std::move(table);
    return sequence;
  }
  void remove(int sequence) { tables_.at(sequence).reset(); }

  /// Throws kDisposed when there is no such sequence.
  const Table& at(int sequence) const {
    if (sequence < 0 || sequence >= static_cast<int>(tables_.size()) || !tables_[sequence]) {
      throw Error(Code::kDisposed, "sequence " + std::to_string(sequence) + ": expected a live one");
    }
    return *tables_[sequence];
  }
  Table& at(int sequence) { return const_cast<Table&>(static_cast<const SequenceList*>(this)->at(sequence)); }

  template <class Visit>
  void each(Visit&& visit) {
    for (std::optional<Table>& table : tables_) {
      if (table) visit(*table);
    }
  }

 private:
  std::vector<std::optional<Table>> tables_;
};

}  // namespace mipha
