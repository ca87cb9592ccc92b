#include "backend/cpu/cache.h"

#include <gtest/gtest.h>

#include <memory>

#include "backend/block_tables.h"
#include "core/error.h"

namespace mipha::cpu {
namespace {

class CacheTest : public ::testing::Test {
 protected:
  void build(int blocks, int context) {
    Arena plan;
    CacheBlocks(plan, kLayers, blocks, kHeads, kHeadSize);
    arena_ = std::make_unique<Arena>(plan.used());
    cache_ = std::make_unique<CacheBlocks>(*arena_, kLayers, blocks, kHeads, kHeadSize);
    sequences_ = std::make_unique<BlockTables>(cache_->blocks(), kBlockRows, context, [this](int from, int to) { cache_->copy(from, to); });
  }
  half_t& key(int sequence, int row) {
    return cache_->keys(kLayers - 1, sequences_->blocks(sequence)[row / kBlockRows], 1)[row % kBlockRows * kHeadSize + 3];
  }
  void grow(int sequence, int rows, half_t value) {
    const int from = sequences_->length(sequence);
    sequences_->extend(sequence, rows);
    for (int row = from; row < from + rows; ++row) key(sequence, row) = static_cast<half_t>(value + row);
  }

  static constexpr int kLayers = 3, kHeads = 2, kHeadSize = 8;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<CacheBlocks> cache_;
  std::unique_ptr<BlockTables> sequences_;
};

TEST_F(CacheTest, ForkSharesRowsAndWritersGetTheirOwnTail) {
  build(8, 200);
  const int parent = sequences_->create();
  grow(parent, kBlockRows + 5, 1000);
  const int child = sequences_->fork(parent);
  EXPECT_EQ(sequences_->blocks(child)[1], sequences_->blocks(parent)[1]);
  grow(child, 3, 2000);
  EXPECT_EQ(sequences_->blocks(child)[0], sequences_->blocks(parent)[0]);
  EXPECT_NE(sequences_->blocks(child)[1], sequences_->blocks(parent)[1]);
  grow(parent, 3, 3000);
  for (int row = 0; row < kBlockRows + 5; ++row) EXPECT_EQ(key(child, row), 1000 + row);
  EXPECT_EQ(key(child, kBlockRows + 5), 2000 + kBlockRows + 5);
  EXPECT_EQ(key(parent, kBlockRows + 5), 3000 + kBlockRows + 5);
}

TEST_F(CacheTest, FullBlocksAreNeverCopied) {
  build(3, 200);
  const int parent = sequences_->create();
  grow(parent, 2 * kBlockRows, 0);
  const int child = sequences_->fork(parent);
  EXPECT_EQ(sequences_->room(child), kBlockRows);
  grow(child, kBlockRows, 500);
  EXPECT_EQ(sequences_->room(parent), 0);
}

TEST_F(CacheTest, RoomIsExactlyWhatExtendGrants) {
  build(4, 100);
  const int parent = sequences_->create();
  grow(parent, kBlockRows + 7, 0);
  const int child = sequences_->fork(parent);
  const int room = sequences_->room(child);
  EXPECT_EQ(room, 2 * kBlockRows - 7);  // two free blocks, of which one first takes the copy of the tail
  EXPECT_THROW(sequences_->extend(child, room + 1), Error);
  EXPECT_EQ(sequences_->length(child), kBlockRows + 7);
  sequences_->extend(child, room);
  EXPECT_EQ(sequences_->room(child), 0);
}

TEST_F(CacheTest, ContextAndMemoryAreDifferentErrors) {
  build(2, 40);
  const int a = sequences_->create();
  try {
    sequences_->extend(a, 41);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kContextFull);
  }
  sequences_->extend(a, 40);
  const int b = sequences_->create();
  try {
    sequences_->extend(b, 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kMemory);
  }
  sequences_->truncate(a, 3);
  sequences_->extend(b, kBlockRows);
}

TEST_F(CacheTest, PromisedRowsAreThereForTheirOwnerOnly) {
  build(6, 190);
  const int parent = sequences_->create();
  grow(parent, kBlockRows + 5, 0);  // two blocks, four free
  const int a = sequences_->fork(parent), b = sequences_->fork(parent);
  EXPECT_TRUE(sequences_->reserve(a, 2 * kBlockRows));  // the copy of the tail and two more
  EXPECT_EQ(sequences_->room(b), kBlockRows - 5);       // the fourth holds its copy of the tail
  EXPECT_FALSE(sequences_->reserve(b, kBlockRows));
  EXPECT_THROW(sequences_->extend(b, kBlockRows), Error);
  EXPECT_TRUE(sequences_->reserve(b, kBlockRows - 5));
  sequences_->extend(b, kBlockRows - 5);
  for (int i = 0; i < 2 * kBlockRows; ++i) sequences_->extend(a, 1);
  EXPECT_EQ(sequences_->room(a), kBlockRows - 5);
  EXPECT_EQ(sequences_->room(parent), kBlockRows - 5);  // the last to hold its tail, which needs no copy any more
}

TEST_F(CacheTest, PromisesEndWithTheSequenceOrAtZero) {
  build(4, 190);
  const int a = sequences_->create(), b = sequences_->create();
  EXPECT_TRUE(sequences_->reserve(a, 4 * kBlockRows));
  EXPECT_EQ(sequences_->room(b), 0);
  EXPECT_TRUE(sequences_->reserve(a, kBlockRows));
  EXPECT_EQ(sequences_->room(b), 3 * kBlockRows);
  EXPECT_TRUE(sequences_->reserve(a, 0));
  EXPECT_EQ(sequences_->room(b), 4 * kBlockRows);
  EXPECT_TRUE(sequences_->reserve(a, kBlockRows));
  sequences_->release(a);
  EXPECT_EQ(sequences_->room(b), 4 * kBlockRows);
}

TEST_F(CacheTest, WhatIsTakenBackIsPromisedAgain) {
  build(6, 190);
  const int parent = sequences_->create();
  grow(parent, kBlockRows + 5, 1000);  // two blocks, four free
  const int a = sequences_->fork(parent), b = sequences_->fork(parent);
  ASSERT_TRUE(sequences_->reserve(a, 2 * kBlockRows));  // the copy of the tail and two more
  const BlockTables::State before = sequences_->extend(a, kBlockRows);
  sequences_->restore(a, before);
  EXPECT_EQ(sequences_->length(a), kBlockRows + 5);
  for (int row = 0; row < kBlockRows + 5; ++row) EXPECT_EQ(key(a, row), 1000 + row);
  EXPECT_EQ(sequences_->room(b), kBlockRows - 5);  // as with the promise: the copy that was made counts for the one promised
  sequences_->extend(b, kBlockRows - 5);
  sequences_->extend(a, 2 * kBlockRows);
}

TEST_F(CacheTest, EverythingComesBack) {
  build(6, 190);
  for (int round = 0; round < 50; ++round) {
    const int root = sequences_->create();
    sequences_->extend(root, 10 + round);
    const int a = sequences_->fork(root), b = sequences_->fork(a);
    if (sequences_->room(a) > 0) sequences_->extend(a, 1);
    sequences_->release(root);
    sequences_->release(b);
    sequences_->release(a);
  }
  const int all = sequences_->create();
  EXPECT_EQ(sequences_->room(all), 190);
  EXPECT_THROW(sequences_->length(all + 1), Error);
  sequences_->release(all);
  EXPECT_THROW(sequences_->fork(all), Error);
}

}  // namespace
}  // namespace mipha::cpu
