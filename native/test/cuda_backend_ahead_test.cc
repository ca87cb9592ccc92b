// Steps that the CUDA backend computes before they are asked for: the same as without.
#include <cstdlib>

#include "test/support/cuda_ahead.h"

namespace mipha::test {
namespace {

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

TEST_F(Ahead, ALongAnswer) {
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(9, 3), 5, 60, all);
    std::vector<Going*> batch = {&one};
    go(batch, 100, transcript);
    EXPECT_EQ(backend.length(one.sequence), 69);
    backend.release(one.sequence);
  });
  EXPECT_EQ(counts.steps, 60);
  // Rows 9 to 68: two steps begin a block, for which nothing runs ahead.
  EXPECT_GE(counts.continued, 60 - 1 - 2);
  EXPECT_GE(counts.ahead, 60 - 2 - 2 * 2);
  EXPECT_EQ(counts.forgotten, 0);  // its end was known
}

TEST_F(Ahead, StopsAtEveryPlace) {
  std::vector<int32_t> ids;
  {
    Going one = going(prefilled(28, 11), 5, 20, all);
    for (int i = 0; i < 9; ++i) {
      const Choice choice = decode({&one}).front();
      ids.push_back(choice.id);
      one.take(choice);
    }
  }
  for (const int32_t stop : ids) {
    const std::vector<int32_t> stops = {stop};
    compare([&](Transcript& transcript) {
      Going one = going(prefilled(28, 11), 5, 20, all, &stops);
      std::vector<Going*> batch = {&one};
      go(batch, 20, transcript);
      const size_t place = static_cast<size_t>(std::find(ids.begin(), ids.end(), stop) - ids.begin());
      EXPECT_EQ(transcript.lines.size(), place + 1);
      backend.release(one.sequence);
    });
  }
}

TEST_F(Ahead, BatchesThatShrinkAndGrow) {
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    std::vector<Going> answers;
    for (int i = 0; i < 8; ++i) answers.push_back(going(prefilled(3 + 4 * i, i), 7 * i, 6 + 3 * i, i % 3 == 2 ? odd : all));
    std::vector<Going*> batch = {&answers[0], &answers[1], &answers[2]};
    for (int i = 3; i < 8; ++i) {
      go(batch, 5, transcript);
      batch.push_back(&answers[i]);
    }
    go(batch, 100, transcript);
    for (const Going& one : answers) backend.release(one.sequence);
  });
  EXPECT_GT(counts.ahead, counts.steps / 3);
  EXPECT_GT(counts.forgotten, 0);
}

TEST_F(Ahead, AForkBetweenSteps) {
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(12, 3), 5, 60, all);
    std::vector<Going*> batch = {&one};
    go(batch, 6, transcript);
    Going other = going(backend.fork(one.sequence), 9, 20, odd);
    go(batch, 5, transcript);  // writes into a copy of the block that both hold
    batch.push_back(&other);
    go(batch, 6, transcript);
    batch.pop_back();
    std::vector<Going*> others = {&other};
    go(others, 4, transcript);
    go(batch, 10, transcript);
    backend.release(one.sequence);
    go(others, 4, transcript);
    backend.release(other.sequence);
  });
  EXPECT_GT(counts.ahead, 0);
}

TEST_F(Ahead, RowsThatRanAheadAreNobodys) {
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(33, 3), 5, 60, all);
    std::vector<Going*> batch = {&one};
    go(batch, 8, transcript);
    backend.truncate(one.sequence, 36);
    transcript.add(loaded.append(one.sequence, token_ids(7, 2)));
    go(batch, 5, transcript);
    transcript.add(loaded.append(prefilled(40, 8), token_ids(3, 1)));  // between two steps of the answer
    go(batch, 5, transcript);
    const int fork = backend.fork(one.sequence);
    backend.release(one.sequence);  // cancelled: the fork has its block alone, with rows in it that ran ahead
    transcript.add(loaded.append(fork, token_ids(4, 1)));
    Going next = going(fork, 3, 12, all);
    batch = {&next};
    go(batch, 12, transcript);
    backend.release(fork);
    Going last = going(prefilled(5, 1), 3, 6, all);  // in blocks that were just given back
    batch = {&last};
    go(batch, 6, transcript);
    backend.release(last.sequence);
  });
  EXPECT_GT(counts.ahead, 5);
  EXPECT_GT(counts.forgotten, 0);
}

TEST_F(Ahead, WhoAsksForSomethingElseGetsThat) {
  const std::vector<int32_t> stops = {88};
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(10, 3), 5, 60, all);
    std::vector<Going*> batch = {&one};
    go(batch, 4, transcript);
    one.id = (one.id + 1) % 90;  // another token than was chosen
    go(batch, 3, transcript);
    one.chooser.candidates = odd;
    go(batch, 3, transcript);
    one.chooser.candidates = candidates(2);  // in the slot that is oldest
    go(batch, 3, transcript);
    one.chooser.stop_ids = &stops;
    go(batch, 3, transcript);
    one.chooser.tokens_left = 9;
    go(batch, 3, transcript);
    one.chooser.candidates = nullptr;  // logits
    transcript.add(decode(batch).front());
    transcript.add(logits);
    one.id = 4;
    one.chooser.candidates = all;
    one.chooser.tokens_left = 3;
    go(batch, 9, transcript);
    backend.release(one.sequence);
  });
  EXPECT_GT(counts.forgotten, 3);
}

TEST_F(Ahead, ListsThatTakeEachOthersPlaces) {
  compare([&](Transcript& transcript) {
    Going one = going(prefilled(10, 3), 5, 60, candidates(0));
    std::vector<Going*> batch = {&one};
    go(batch, 4, transcript);
    for (int i = 0; i < 2 * cuda::kCandidateLists; ++i) {
      one.chooser.candidates = candidates(i % 5);  // a list of its own each time
      go(batch, 1, transcript);
    }
    backend.release(one.sequence);
  });
}

TEST_F(Ahead, CountsSayHowManyAreWorthIt) {
  // An answer of two tokens runs nothing ahead; one whose end is not known forgets at most two steps.
  const std::vector<int32_t> none = {};
  cuda::StepCounts counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(10, 3), 5, 2, all, &none);
    std::vector<Going*> batch = {&one};
    go(batch, 9, transcript);
    backend.release(one.sequence);
  });
  EXPECT_EQ(counts.steps, 2);
  EXPECT_EQ(counts.ahead, 0);
  EXPECT_EQ(counts.forgotten, 0);
  counts = compare([&](Transcript& transcript) {
    Going one = going(prefilled(10, 3), 5, 50, all, &none);
    std::vector<Going*> batch = {&one};
    go(batch, 9, transcript);
    backend.release(one.sequence);
    Going other = going(prefilled(10, 3), 5, 1, all, &none);
    batch = {&other};
    go(batch, 1, transcript);
    backend.release(other.sequence);
  });
  EXPECT_EQ(counts.ahead, 9 - 2);
  EXPECT_EQ(counts.forgotten, 2);
}

}  // namespace
}  // namespace mipha::test
