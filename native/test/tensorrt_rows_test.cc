// Rows of the cache: shared by forks, written behind the highest in use, moved down when they come to the end; and the mask over them.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "backend/tensorrt/mask.h"
#include "backend/tensorrt/rows.h"
#include "core/error.h"

namespace mipha::tensorrt {
namespace {

/// A RowTables with a memory of one tag for each row, written as a backend would.
struct Memory {
  Memory(int capacity, int step, int context) : step(step), sequences(capacity, step, context), tags(capacity, -1) {}

  /// One run of new rows, one after the other.
  int write(const std::vector<std::pair<int, int>>& rows) {  // sequence, tag
    std::vector<Move> moves;
    const int past = sequences.begin(static_cast<int>(rows.size()), &moves);
    for (const Move& move : moves) {
      EXPECT_GE(move.from, move.to + move.count) << "a move overlaps";
      for (int i = 0; i < move.count; ++i) tags[move.to + i] = tags[move.from + i];
      moved += move.count;
    }
    EXPECT_EQ(past % step, 0);
    EXPECT_LE(past + rows.size(), tags.size());
    for (size_t i = 0; i < rows.size(); ++i) {
      sequences.place(rows[i].first, past + static_cast<int>(i));
      tags[past + i] = rows[i].second;
    }
    return past;
  }
  void grow(int sequence, const std::vector<int>& new_tags) {
    sequences.extend(sequence, static_cast<int>(new_tags.size()));
    std::vector<std::pair<int, int>> rows;
    for (int tag : new_tags) rows.emplace_back(sequence, tag);
    write(rows);
  }
  std::vector<int> read(int sequence) const {
    std::vector<int> found;
    for (int row : sequences.rows(sequence)) found.push_back(tags[row]);
    return found;
  }

  const int step;
  RowTables sequences;
  std::vector<int> tags;
  int moved = 0;
};

Code refusal(RowTables& sequences, int sequence, int rows) {
  try {
    sequences.extend(sequence, rows);
  } catch (const Error& error) {
    return error.code;
  }
  return Code::kInternal;
}

TEST(Rows, AForkSharesAndBothGoOn) {
  Memory memory(16, 1, 10);
  const int parent = memory.sequences.create();
  memory.grow(parent, {1, 2, 3});
  const int child = memory.sequences.fork(parent);
  EXPECT_EQ(memory.sequences.room(child), 7);
  memory.grow(child, {4});
  memory.grow(parent, {5, 6});
  EXPECT_EQ(memory.read(child), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(memory.read(parent), (std::vector<int>{1, 2, 3, 5, 6}));
  EXPECT_EQ(memory.sequences.rows(child)[1], memory.sequences.rows(parent)[1]);
  memory.sequences.release(parent);
  EXPECT_EQ(memory.read(child), (std::vector<int>{1, 2, 3, 4}));
  EXPECT_THROW(memory.sequences.length(parent), Error);
}

TEST(Rows, RunsBeginAtMultiplesOfTheStep) {
  Memory memory(16, 4, 16);
  const int a = memory.sequences.create();
  memory.grow(a, {1, 2, 3});
  memory.grow(a, {4});
  memory.grow(a, {5, 6, 7, 8, 9});
  EXPECT_EQ(memory.sequences.rows(a), (std::vector<int>{0, 1, 2, 4, 8, 9, 10, 11, 12}));
  EXPECT_EQ(memory.sequences.room(a), 16 - 3 - 9) << "three rows can be lost to the step";
}

TEST(Rows, WhatIsInUseMovesIntoTheGapsWhenTheEndIsReached) {
  Memory memory(12, 1, 12);
  const int a = memory.sequences.create(), b = memory.sequences.create(), c = memory.sequences.create();
  memory.grow(a, {1, 2, 3, 4});
  memory.grow(b, {5, 6, 7});
  memory.grow(c, {8, 9, 10});
  memory.sequences.release(a);
  EXPECT_EQ(memory.sequences.room(b), 6);
  memory.grow(b, {11, 12, 13});
  EXPECT_EQ(memory.moved, 4) << "only what lies above the rows in use has to move";
  EXPECT_EQ(memory.read(b), (std::vector<int>{5, 6, 7, 11, 12, 13}));
  EXPECT_EQ(memory.read(c), (std::vector<int>{8, 9, 10}));
  EXPECT_EQ(*std::max_element(memory.sequences.rows(b).begin(), memory.sequences.rows(b).end()), 8);
}

TEST(Rows, AWideGapIsClosedBeforeTheEndIsReached) {
  Memory memory(2000, 1, 1000);
  const int a = memory.sequences.create(), b = memory.sequences.create();
  memory.grow(a, std::vector<int>(600, 1));
  memory.grow(b, std::vector<int>(10, 2));
  memory.sequences.release(a);
  memory.grow(b, {3});
  EXPECT_EQ(memory.moved, 10);
  EXPECT_EQ(memory.sequences.rows(b).back(), 10);
}

TEST(Rows, ContextAndMemoryAreDifferentErrorsAndChangeNothing) {
  Memory memory(8, 1, 6);
  const int a = memory.sequences.create(), b = memory.sequences.create();
  EXPECT_EQ(refusal(memory.sequences, a, 7), Code::kContextFull);
  memory.grow(a, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(refusal(memory.sequences, b, 3), Code::kMemory);
  EXPECT_EQ(memory.sequences.room(b), 2);
  memory.sequences.truncate(a, 1);
  memory.grow(b, {7, 8, 9});
  EXPECT_EQ(memory.read(a), (std::vector<int>{1}));
}

TEST(Rows, PromisedRowsAreThereForTheirOwnerOnly) {
  Memory memory(10, 1, 10);
  const int a = memory.sequences.create(), b = memory.sequences.create();
  EXPECT_TRUE(memory.sequences.reserve(a, 6));
  EXPECT_FALSE(memory.sequences.reserve(b, 5));
  EXPECT_EQ(memory.sequences.room(b), 4);
  EXPECT_EQ(memory.sequences.room(a), 10);
  memory.grow(a, {1, 2, 3, 4});
  EXPECT_EQ(memory.sequences.room(b), 4);
  EXPECT_EQ(refusal(memory.sequences, b, 5), Code::kMemory);
  EXPECT_TRUE(memory.sequences.reserve(a, 0));
  EXPECT_EQ(memory.sequences.room(b), 6);
  EXPECT_TRUE(memory.sequences.reserve(a, 6));
  memory.sequences.release(a);
  EXPECT_EQ(memory.sequences.room(b), 10);
}

TEST(Rows, AnExtensionCanBeTakenBackHalfway) {
  Memory memory(10, 1, 10);
  const int a = memory.sequences.create(), b = memory.sequences.create();
  memory.grow(a, {1});
  EXPECT_TRUE(memory.sequences.reserve(a, 5));
  const RowTables::State before = memory.sequences.extend(a, 7);
  EXPECT_EQ(memory.sequences.room(b), 2);
  memory.write({{a, 2}, {a, 3}});
  memory.sequences.restore(a, before);
  EXPECT_EQ(memory.read(a), (std::vector<int>{1}));
  EXPECT_EQ(memory.sequences.room(b), 4) << "the promise stands again";
  EXPECT_EQ(memory.sequences.room(a), 9);
}

/// Everything at random, against sets of tags.
TEST(Rows, AnyOrderOfCallsKeepsWhatSequencesHold) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](int count) { return static_cast<int>(random() % static_cast<unsigned>(count)); };
    const int step = 1 << below(4), capacity = 40 + below(60), context = 20 + below(40), usable = capacity - step + 1;
    Memory memory(capacity, step, context);
    RowTables& sequences = memory.sequences;
    std::map<int, std::vector<int>> held;  // sequence → tags
    std::map<int, int> promised;
    int next_tag = 0;
    const auto any = [&] { return std::next(held.begin(), below(static_cast<int>(held.size())))->first; };
    const auto room = [&](int sequence) {
      std::set<int> tags;
      int others = 0;
      for (const auto& [other, its] : held) {
        tags.insert(its.begin(), its.end());
        if (other != sequence) others += promised[other];
      }
      return std::max(0, std::min(usable - static_cast<int>(tags.size()) - others, context - static_cast<int>(held[sequence].size())));
    };
    for (int turn = 0; turn < 300; ++turn) {
      const int what = held.empty() ? 0 : below(10);
      if (what == 0 && held.size() < 8) {
        held[sequences.create()] = {};
      } else if (what == 1 && held.size() < 8) {
        const int parent = any(), child = sequences.fork(parent);
        held[child] = held[parent];
      } else if (what == 2) {
        const int sequence = any();
        sequences.release(sequence);
        held.erase(sequence);
        promised.erase(sequence);
      } else if (what == 3) {
        const int sequence = any(), length = below(static_cast<int>(held[sequence].size()) + 1);
        sequences.truncate(sequence, length);
        held[sequence].resize(length);
      } else if (what == 4) {
        const int sequence = any(), rows = below(12);
        std::set<int> tags;
        int others = 0;
        for (const auto& [other, its] : held) {
          tags.insert(its.begin(), its.end());
          if (other != sequence) others += promised[other];
        }
        const bool fits = rows <= usable - static_cast<int>(tags.size()) - others;
        ASSERT_EQ(sequences.reserve(sequence, rows), fits);
        if (fits) promised[sequence] = rows;
      } else if (!held.empty()) {  // one or two sequences grow in one run, or are taken back
        std::vector<std::pair<int, int>> rows;
        std::vector<std::pair<int, RowTables::State>> states;
        std::set<int> growing = {any(), any()};
        for (const int sequence : growing) {
          const int free = sequences.room(sequence);
          if (states.empty()) {
            ASSERT_EQ(free, room(sequence));
          }
          const int count = below(std::min(free, 9) + 1);
          states.emplace_back(sequence, sequences.extend(sequence, count));
          for (int i = 0; i < count; ++i) rows.emplace_back(sequence, next_tag++);
        }
        if (!rows.empty()) memory.write(rows);
        const bool back = below(4) == 0;
        for (const auto& [sequence, state] : states) {
          if (back) {
            sequences.restore(sequence, state);
            continue;
          }
          const size_t before = held[sequence].size();
          for (const auto& [of, tag] : rows) {
            if (of == sequence) held[sequence].push_back(tag);
          }
          promised[sequence] -= std::min(promised[sequence], static_cast<int>(held[sequence].size() - before));
        }
      }
      for (const auto& [sequence, tags] : held) {
        ASSERT_EQ(memory.read(sequence), tags) << "seed " << seed << ", turn " << turn;
        ASSERT_EQ(sequences.room(sequence), room(sequence)) << "seed " << seed << ", turn " << turn;
      }
    }
  }
}

TEST(Mask, EachRowSeesItsOwnPastAndItselfOnly) {
  Memory memory(16, 4, 16);
  const int view = memory.sequences.create();
  memory.grow(view, {1, 2});
  const int a = memory.sequences.fork(view), b = memory.sequences.fork(view);
  memory.grow(a, {3});  // row 4, after a gap
  const int past = 8;
  const std::vector<int> rows = {a, a, b, a};
  std::vector<float> mask(rows.size() * (past + rows.size()), 1.0f);
  build_mask(memory.sequences, rows, past, mask.data());
  const auto seen = [&](int row) {
    std::vector<int> columns;
    for (int column = 0; column < past + 4; ++column) {
      const float value = mask[row * (past + 4) + column];
      EXPECT_TRUE(value == 0 || value == kHidden);
      if (value == 0) columns.push_back(column);
    }
    return columns;
  };
  EXPECT_EQ(seen(0), (std::vector<int>{0, 1, 4, 8}));
  EXPECT_EQ(seen(1), (std::vector<int>{0, 1, 4, 8, 9}));
  EXPECT_EQ(seen(2), (std::vector<int>{0, 1, 10}));
  EXPECT_EQ(seen(3), (std::vector<int>{0, 1, 4, 8, 9, 11}));
}

}  // namespace
}  // namespace mipha::tensorrt
