#include "backend/tensorrt/rows.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace mipha::tensorrt {
namespace {

/// Gaps are read by every step although the mask hides them: beyond so many rows, moving is cheaper.
constexpr int kMostGaps = 256;

}  // namespace

RowTables::RowTables(int capacity, int step, int context) : step_(step), context_(context), usable_(capacity - step + 1), holders_(capacity, 0) {}

int RowTables::fork(int parent) {
  Table table = tables_.at(parent);
  table.promised = 0;
  for (const int row : table.rows) ++holders_[row];
  return tables_.add(std::move(table));
}

void RowTables::drop(int row) {
  if (--holders_[row] > 0) return;
  --held_;
  while (end_ > 0 && holders_[end_ - 1] == 0) --end_;
}

void RowTables::truncate(int sequence, int length) {
  std::vector<int>& rows = tables_.at(sequence).rows;
  if (length < 0 || length > static_cast<int>(rows.size())) {
    throw Error(Code::kInternal, "truncate: expected 0.." + std::to_string(rows.size()) + " rows, received " + std::to_string(length));
  }
  while (static_cast<int>(rows.size()) > length) {
    drop(rows.back());
    rows.pop_back();
  }
}

void RowTables::release(int sequence) {
  truncate(sequence, 0);
  reserve(sequence, 0);
  tables_.remove(sequence);
}

/// Rows that nobody holds and that are not set aside for others.
int RowTables::available(const Table& table) const {
  return usable_ - held_ - granted_ - promised_ + table.promised;
}

int RowTables::room(int sequence) const {
  const Table& table = tables_.at(sequence);
  return std::max(0, std::min(available(table), context_ - static_cast<int>(table.rows.size())));
}

bool RowTables::reserve(int sequence, int rows) {
  Table& table = tables_.at(sequence);
  if (rows > available(table)) return false;
  promised_ += rows - table.promised;
  table.promised = rows;
  return true;
}

RowTables::State RowTables::extend(int sequence, int rows) {
  Table& table = tables_.at(sequence);
  const State before{static_cast<int>(table.rows.size()), table.promised};
  const auto refuse = [rows](Code code, const std::string& what, int free) {
    throw Error(code, what, {{"neededTokens", static_cast<double>(rows)}, {"availableTokens", static_cast<double>(free)}});
  };
  if (const int free = context_ - before.length; rows > free) {
    refuse(Code::kContextFull, "context: expected at most " + std::to_string(free) + " more tokens, received " + std::to_string(rows), free);
  }
  if (const int free = available(table); rows > free) {
    refuse(Code::kMemory,
           "key/value cache: needed " + std::to_string(rows) + " rows, free " + std::to_string(free) +
               "; dispose views that are no longer needed or raise cacheTokens",
           free);
  }
  const int taken = std::min(rows, table.promised);
  table.promised -= taken;
  promised_ -= taken;
  table.granted += rows;
  granted_ += rows;
  return before;
}

void RowTables::restore(int sequence, const State& state) {
  Table& table = tables_.at(sequence);
  granted_ -= table.granted;
  table.granted = 0;
  truncate(sequence, state.length);
  reserve(sequence, state.promised);
}

/// Where the next run of rows can begin as things are.
int RowTables::top() const {
  return (end_ + step_ - 1) / step_ * step_;
}

int RowTables::begin(int count, std::vector<Move>* moves) {
  moves->clear();
  if (top() + count > static_cast<int>(holders_.size()) || end_ - held_ > kMostGaps) *moves = compact();
  return top();
}

/// The rows from held_ on fill the gaps below it: nothing else has to move, and no move overlaps another.
std::vector<Move> RowTables::compact() {
  std::vector<Move> moves;
  std::vector<int> now(end_);
  int gap = 0;
  for (int row = 0; row < end_; ++row) {
    now[row] = row;
    if (row < held_ || holders_[row] == 0) continue;
    while (holders_[gap] > 0) ++gap;
    now[row] = gap;
    std::swap(holders_[gap], holders_[row]);
    if (!moves.empty() && moves.back().from + moves.back().count == row && moves.back().to + moves.back().count == gap) {
      ++moves.back().count;
    } else {
      moves.push_back({row, gap, 1});
    }
  }
  tables_.each([&](Table& table) {
    for (int& row : table.rows) row = now[row];
  });
  end_ = held_;
  return moves;
}

void RowTables::place(int sequence, int row) {
  Table& table = tables_.at(sequence);
  if (table.granted == 0 || holders_[row] > 0) throw Error(Code::kInternal, "row " + std::to_string(row) + ": expected a granted one that is free");
  --table.granted;
  --granted_;
  ++held_;
  holders_[row] = 1;
  end_ = std::max(end_, row + 1);
  table.rows.push_back(row);
}

}  // namespace mipha::tensorrt
