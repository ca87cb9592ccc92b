#include "backend/block_tables.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/error.h"

namespace mipha {

BlockTables::BlockTables(int blocks, int block_rows, int context, Copy copy)
    : block_rows_(block_rows), context_(context), copy_(std::move(copy)), holders_(blocks, 0) {
  for (int block = blocks; block-- > 0;) free_.push_back(block);
}

int BlockTables::take(Table& table) {
  if (table.promised > 0) --table.promised, --promised_;
  const int block = free_.back();
  free_.pop_back();
  holders_[block] = 1;
  return block;
}

void BlockTables::drop(int block) {
  if (--holders_[block] == 0) free_.push_back(block);
}

int BlockTables::fork(int parent) {
  Table table = tables_.at(parent);
  table.promised = 0;
  for (const int block : table.blocks) ++holders_[block];
  return tables_.add(std::move(table));
}

void BlockTables::truncate(int sequence, int length) {
  Table& table = tables_.at(sequence);
  if (length < 0 || length > table.length) {
    throw Error(Code::kInternal, "truncate: expected 0.." + std::to_string(table.length) + " rows, received " + std::to_string(length));
  }
  while (static_cast<int>(table.blocks.size()) > blocks_for(length)) {
    drop(table.blocks.back());
    table.blocks.pop_back();
  }
  table.length = length;
}

void BlockTables::release(int sequence) {
  truncate(sequence, 0);
  reserve(sequence, 0);
  tables_.remove(sequence);
}

bool BlockTables::shares_tail(const Table& table) const {
  return table.length % block_rows_ != 0 && holders_[table.blocks.back()] > 1;
}

/// Free blocks that are not set aside for others.
int BlockTables::available(const Table& table) const {
  return static_cast<int>(free_.size()) - promised_ + table.promised;
}

/// Blocks that `rows` more rows take. A shared tail has to be copied into a fresh block before its remaining rows can be used.
int BlockTables::needed(const Table& table, int rows) const {
  if (rows == 0) return 0;
  if (shares_tail(table)) return blocks_for(table.length % block_rows_ + rows);
  return blocks_for(table.length + rows) - blocks_for(table.length);
}

int BlockTables::room(int sequence) const {
  const Table& table = tables_.at(sequence);
  const int tail = blocks_for(table.length) * block_rows_ - table.length, free_rows = available(table) * block_rows_;
  const int rows = shares_tail(table) ? (free_rows == 0 ? 0 : free_rows - block_rows_ + tail) : free_rows + tail;
  return std::min(rows, context_ - table.length);
}

bool BlockTables::reserve(int sequence, int rows) {
  Table& table = tables_.at(sequence);
  const int blocks = needed(table, rows);
  if (blocks > available(table)) return false;
  promised_ += blocks - table.promised;
  table.promised = blocks;
  return true;
}

BlockTables::State BlockTables::extend(int sequence, int rows) {
  Table& table = tables_.at(sequence);
  if (table.length + rows > context_) {
    throw Error(Code::kContextFull,
                "context: expected at most " + std::to_string(context_ - table.length) + " more tokens, received " + std::to_string(rows),
                {{"neededTokens", static_cast<double>(rows)}, {"availableTokens", static_cast<double>(context_ - table.length)}});
  }
  if (const int available = room(sequence); rows > available) {
    throw Error(Code::kMemory,
                "key/value cache: needed " + std::to_string(rows) + " rows, free " + std::to_string(available) +
                    "; dispose views that are no longer needed or raise cacheTokens",
                {{"neededTokens", static_cast<double>(rows)}, {"availableTokens", static_cast<double>(available)}});
  }
  if (rows > 0 && shares_tail(table)) {
    const int shared = table.blocks.back(), own = take(table);
    copy_(shared, own);
    table.blocks.back() = own;
    drop(shared);
  }
  const State before{table.length, table.promised};
  table.length += rows;
  while (static_cast<int>(table.blocks.size()) < blocks_for(table.length)) table.blocks.push_back(take(table));
  return before;
}

void BlockTables::restore(int sequence, const State& state) {
  truncate(sequence, state.length);
  Table& table = tables_.at(sequence);
  promised_ += state.promised - table.promised;
  table.promised = state.promised;
}

}  // namespace mipha
