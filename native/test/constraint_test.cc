#include "engine/constraint.h"

#include <gtest/gtest.h>

#include <map>

#include "test/support/automaton.h"

namespace mipha {
namespace {

using testing::choice;

std::map<int32_t, int32_t> pairs(const Transitions& transitions) {
  std::map<int32_t, int32_t> result;
  for (size_t i = 0; i < transitions.ids.size(); ++i) result.emplace(transitions.ids[i], transitions.targets[i]);
  return result;
}

int32_t run(const Constraint& constraint, int32_t state, const std::vector<uint8_t>& bytes) {
  for (const uint8_t byte : bytes) {
    if (state >= 0) state = constraint.next[static_cast<size_t>(state) * 256 + byte];
  }
  return state;
}

TEST(Vocabulary, WalkFindsWhatSpellingEachTokenFinds) {
  // All strings over {a, b, c} up to four bytes, some of them twice, in an order that is not sorted.
  std::vector<std::vector<uint8_t>> bytes;
  for (int code = 0; code < 2000; ++code) {
    std::vector<uint8_t> token;
    for (int rest = (code * 7919) % 341; rest > 0; rest /= 4) {
      if (rest % 4 != 0) token.push_back(static_cast<uint8_t>('a' + rest % 4 - 1));
    }
    bytes.push_back(token);
  }
  const Vocabulary vocabulary(bytes);
  const Constraint constraint = choice({{"abcab", "aab", "c"}, {"cba", "cbabca", "bb", ""}, {"abca"}});
  for (int32_t state = 0; state < constraint.states; ++state) {
    std::map<int32_t, int32_t> expected;
    for (size_t id = 0; id < bytes.size(); ++id) {
      const int32_t target = bytes[id].empty() ? -1 : run(constraint, state, bytes[id]);
      if (target >= 0) expected.emplace(static_cast<int32_t>(id), target);
    }
    EXPECT_EQ(pairs(vocabulary.walk(constraint, state)), expected) << "state " << state;
  }
}

TEST(Vocabulary, IdsWithoutBytesAreNoAnswer) {
  const Vocabulary vocabulary(testing::vocabulary({"x", "", "y", ""}));
  EXPECT_EQ(vocabulary.size(), 4);
  EXPECT_EQ(vocabulary.candidates({}), (std::vector<int32_t>{0, 2}));
}

TEST(Vocabulary, StopIdsAreCandidatesOnceBehindTheOthers) {
  const Vocabulary vocabulary(testing::vocabulary({"x", "", "y", "", "z"}));
  EXPECT_EQ(vocabulary.candidates({3, 2, 3}), (std::vector<int32_t>{0, 4, 2, 3}));
}

TEST(CandidatesCache, TheSameStopIdsShareOneList) {
  const Vocabulary vocabulary(testing::vocabulary({"x", "", "y"}));
  CandidatesCache cache(vocabulary);
  const Candidates first = cache.find({1});
  EXPECT_EQ(cache.find({1}), first);
  EXPECT_EQ(*cache.find({2}), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(*first, (std::vector<int32_t>{0, 2, 1}));
}

TEST(TokenAutomaton, ComputesAgainWhatItHadToForget) {
  const Vocabulary vocabulary(std::vector<std::vector<uint8_t>>(100000, {'a'}));
  Constraint loop;
  loop.states = 8;
  loop.column = testing::all_bytes();
  loop.next.assign(8 * 256, -1);
  for (int state = 0; state < 8; ++state) loop.next[static_cast<size_t>(state) * 256 + 'a'] = (state + 1) % 8;
  loop.accepting.assign(8, 0);
  loop.group.assign(8, -1);
  loop.ends.assign(8, 0);
  loop.decided.assign(8, 0);
  TokenAutomaton automaton(vocabulary, checked(loop));
  for (int round = 0; round < 3; ++round) {
    for (int state = 0; state < 8; ++state) {
      ASSERT_EQ(automaton.from(state).ids.size(), 100000u);
      ASSERT_EQ(automaton.from(state).targets.front(), (state + 1) % 8);
    }
  }
}

TEST(Vocabulary, BytesMayShareAColumn) {
  const Vocabulary vocabulary(testing::vocabulary({"a", "b", "ab", "c", "ac"}));
  Constraint constraint;  // two letters, each a or b
  constraint.states = 3;
  constraint.column.assign(256, 0);
  constraint.column['a'] = constraint.column['b'] = 1;
  constraint.next = {-1, 1, -1, 2, -1, -1};
  constraint.accepting = {0, 0, 1};
  constraint.group = {-1, -1, -1};
  constraint.ends = {0, 0, 0};
  constraint.decided = {0, 0, 1};
  EXPECT_NO_THROW(checked(constraint));
  EXPECT_EQ(pairs(vocabulary.walk(constraint, 0)), (std::map<int32_t, int32_t>{{0, 1}, {1, 1}, {2, 2}}));
  EXPECT_EQ(pairs(vocabulary.walk(constraint, 1)), (std::map<int32_t, int32_t>{{0, 2}, {1, 2}}));
}

TEST(Vocabulary, NoTokenLeadsFromAStateToItself) {
  const Vocabulary vocabulary(testing::vocabulary({"a", "aa", "a.", "aaa."}));
  Constraint constraint = choice({{"a."}});  // states: "", "a", "a."
  constraint.next[1 * 256 + 'a'] = 1;
  EXPECT_EQ(pairs(vocabulary.walk(constraint, 0)), (std::map<int32_t, int32_t>{{0, 1}, {1, 1}, {2, 2}, {3, 2}}));
  EXPECT_EQ(pairs(vocabulary.walk(constraint, 1)), (std::map<int32_t, int32_t>{{2, 2}, {3, 2}}));
}

TEST(Vocabulary, TokensThatReachFixedTextCarryTheValueTheyChose) {
  const Vocabulary vocabulary(testing::vocabulary({"\"", ".", ".\"", "o\"", "o"}));
  Constraint constraint = choice({{"no"}, {"no."}, {"ok"}});
  const int32_t n = run(constraint, 0, {'n'}), no = run(constraint, n, {'o'}), stop = run(constraint, no, {'.'});
  // A quote behind each value, and nothing after it.
  const int32_t closed = constraint.states++;
  constraint.next.resize(constraint.next.size() + 256, -1);
  constraint.accepting.push_back(1);
  constraint.group.push_back(0);
  constraint.ends.push_back(0);
  constraint.decided.push_back(1);
  for (const int32_t state : {no, stop}) constraint.next[static_cast<size_t>(state) * 256 + '"'] = closed;
  const auto groups = [&](int32_t state) {
    const Transitions transitions = vocabulary.walk(constraint, state);
    std::map<int32_t, int32_t> result;
    for (size_t i = 0; i < transitions.ids.size(); ++i) result.emplace(transitions.ids[i], transitions.groups[i]);
    return result;
  };
  const int32_t is_no = constraint.ends[no], is_stop = constraint.ends[stop], either = constraint.group[no];
  EXPECT_NE(is_no, is_stop);
  EXPECT_NE(is_no, either);
  EXPECT_EQ(groups(no), (std::map<int32_t, int32_t>{{0, is_no}, {1, is_stop}, {2, is_stop}}));
  EXPECT_EQ(groups(n), (std::map<int32_t, int32_t>{{3, is_no}, {4, either}}));
  EXPECT_EQ(groups(stop), (std::map<int32_t, int32_t>{{0, is_stop}}));
}

TEST(ConstraintCache, TheSameConstraintFindsItsAutomaton) {
  const Vocabulary vocabulary(testing::vocabulary({"a", "b"}));
  ConstraintCache cache(vocabulary);
  const auto constraint = checked(choice({{"a"}, {"b"}})), equal = checked(choice({{"a"}, {"b"}}));
  const auto first = cache.find(constraint);
  EXPECT_NE(cache.find(equal), first);
  EXPECT_EQ(cache.find(constraint), first);
  EXPECT_EQ(first->constraint(), constraint);
}

TEST(ConstraintCache, ForgetsTheOldest) {
  const Vocabulary vocabulary(testing::vocabulary({"a"}));
  ConstraintCache cache(vocabulary);
  std::vector<std::shared_ptr<const Constraint>> constraints;
  std::vector<std::weak_ptr<TokenAutomaton>> automata;
  for (int length = 1; length < 40; ++length) {
    constraints.push_back(checked(choice({{std::string(static_cast<size_t>(length), 'a')}})));
    automata.push_back(cache.find(constraints.back()));
  }
  EXPECT_TRUE(automata.front().expired());
  EXPECT_FALSE(automata.back().expired());
}

TEST(ConstraintCache, FreesWhatNobodyCanAskForAgain) {
  const Vocabulary vocabulary(testing::vocabulary({"a", "b"}));
  ConstraintCache cache(vocabulary);
  auto lost = checked(choice({{"a"}})), used = checked(choice({{"b"}}));
  const auto kept = checked(choice({{"a"}, {"b"}}));
  const std::weak_ptr<const Constraint> lost_constraint = lost, used_constraint = used;
  cache.find(lost);
  std::shared_ptr<TokenAutomaton> automaton = cache.find(used);  // of an answer that is still being written
  lost.reset();
  used.reset();
  cache.find(kept);
  EXPECT_TRUE(lost_constraint.expired());
  EXPECT_FALSE(used_constraint.expired());
  automaton.reset();
  cache.find(kept);
  EXPECT_TRUE(used_constraint.expired());
}

TEST(CheckedConstraint, RefusesWhatWouldReadOutOfBounds) {
  const Constraint good = choice({{"yes"}, {"no"}});
  EXPECT_EQ(checked(good)->next, good.next);
  const auto refused = [&](auto&& spoil) {
    Constraint bad = good;
    spoil(bad);
    try {
      checked(bad);
    } catch (const Error& error) {
      return error.code == Code::kOption;
    }
    return false;
  };
  EXPECT_TRUE(refused([](Constraint& c) { c.states = 0; }));
  EXPECT_TRUE(refused([](Constraint& c) { c.states += 1; }));
  EXPECT_TRUE(refused([](Constraint& c) { c.column.clear(); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.column.pop_back(); }));
  EXPECT_TRUE(refused([](Constraint& c) { std::fill(c.column.begin(), c.column.end(), uint8_t{0}); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.next.pop_back(); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.next[5] = c.states; }));
  EXPECT_TRUE(refused([](Constraint& c) { c.next[5] = -2; }));
  EXPECT_TRUE(refused([](Constraint& c) { c.accepting.clear(); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.group.push_back(0); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.group[0] = -2; }));
  EXPECT_TRUE(refused([](Constraint& c) { c.ends.pop_back(); }));
  EXPECT_TRUE(refused([](Constraint& c) { c.decided.pop_back(); }));
}

}  // namespace
}  // namespace mipha
