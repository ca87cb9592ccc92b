#include "engine/generation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "test/support/automaton.h"

namespace mipha {
namespace {

using testing::choice;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Answers over a vocabulary of strings; token 0 is the end and has no bytes.
class GenerationTest : public ::testing::Test {
 protected:
  void begin(const std::vector<std::string>& tokens, const Constraint* constraint) {
    std::vector<std::string> all = {""};
    all.insert(all.end(), tokens.begin(), tokens.end());
    names_ = all;
    vocabulary_ = std::make_unique<Vocabulary>(testing::vocabulary(all));
    job_.stop_ids = {0};
    std::shared_ptr<TokenAutomaton> automaton;
    if (constraint) automaton = std::make_shared<TokenAutomaton>(*vocabulary_, std::make_shared<Constraint>(*constraint));
    const auto candidates = std::make_shared<const std::vector<int32_t>>(vocabulary_->candidates(job_.stop_ids));
    generation_.emplace(job_, candidates, automaton, outcome_);
  }

  /// Logits are ln(share) of the named tokens ("" is the end), −30 elsewhere.
  std::optional<Finish> advance(const std::vector<std::pair<std::string, double>>& shares) {
    std::vector<float> logits(names_.size(), -30);
    for (const auto& [name, share] : shares) {
      for (size_t id = 0; id < names_.size(); ++id) {
        if (names_[id] == name) logits[id] = static_cast<float>(std::log(share));
      }
    }
    return generation_->advance(logits.data(), {});
  }

  std::string text() const {
    std::string text;
    for (const int32_t id : outcome_.ids) text += names_[id];
    return text;
  }

  AskJob job_;
  AskOutcome outcome_;
  std::vector<std::string> names_;
  std::unique_ptr<Vocabulary> vocabulary_;
  std::optional<Generation> generation_;
};

TEST_F(GenerationTest, WithoutConstraintEndsAtTheEndToken) {
  begin({"a", "b"}, nullptr);
  EXPECT_EQ(advance({{"a", 0.2}, {"b", 0.7}, {"", 0.1}}), std::nullopt);
  EXPECT_EQ(advance({{"a", 0.2}, {"b", 0.1}, {"", 0.7}}), Finish::kEos);
  EXPECT_EQ(text(), "b");
  EXPECT_EQ(outcome_.probability, 1);
  ASSERT_EQ(outcome_.margins.size(), 2u);
  EXPECT_NEAR(outcome_.margins[0], std::log(0.7 / 0.2), 1e-6);
  EXPECT_NEAR(outcome_.margins[1], std::log(0.7 / 0.2), 1e-6);
}

TEST_F(GenerationTest, LengthIsCountedInTokens) {
  job_.max_tokens = 2;
  begin({"a"}, nullptr);
  EXPECT_EQ(advance({{"a", 1}}), std::nullopt);
  EXPECT_EQ(advance({{"a", 1}}), Finish::kLength);
}

TEST_F(GenerationTest, TokensWithoutBytesAreNeverChosen) {
  begin({"a", "", "b"}, nullptr);  // id 2 is padding with the largest logit
  const float logits[] = {-5, 1, 100, 2};
  EXPECT_EQ(generation_->advance(logits, {}), std::nullopt);
  EXPECT_EQ(outcome_.ids, (std::vector<int32_t>{3}));
  EXPECT_FLOAT_EQ(outcome_.margins[0], 1);
}

TEST_F(GenerationTest, SpellingsOfOneValueStandTogether) {
  const Constraint constraint = choice({{"yes", "Yes", " yes"}, {"no"}});
  begin({"yes", "Yes", " yes", "no", "maybe"}, &constraint);
  // "no" is the single best token, but the three spellings of yes weigh more.
  EXPECT_EQ(advance({{"yes", 0.1}, {"Yes", 0.2}, {" yes", 0.15}, {"no", 0.3}, {"maybe", 5}}), Finish::kStop);
  EXPECT_EQ(text(), "Yes");
  EXPECT_NEAR(outcome_.probability, 0.45 / 0.75, 1e-6);
}

TEST_F(GenerationTest, SamplesWithinTheHeaviestValueOnly) {
  const Constraint constraint = choice({{"yes", "Yes"}, {"no"}});
  std::map<std::string, int> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    outcome_ = {};
    job_.sampling = {1, 1, seed};
    begin({"yes", "Yes", "no"}, &constraint);
    EXPECT_EQ(advance({{"yes", 0.3}, {"Yes", 0.3}, {"no", 0.4}}), Finish::kStop);
    ++seen[text()];
  }
  EXPECT_EQ(seen.count("no"), 0u);
  EXPECT_GT(seen["yes"], 50);
  EXPECT_GT(seen["Yes"], 50);
}

TEST_F(GenerationTest, SpellingsOfSeveralTokensMultiply) {
  const Constraint constraint = choice({{"green"}, {"grey"}, {"red"}});
  begin({"g", "gr", "r", "een", "ey", "red", "ed", "e"}, &constraint);
  EXPECT_EQ(advance({{"g", 0.2}, {"gr", 0.4}, {"r", 0.1}, {"red", 0.3}}), std::nullopt);  // {green, grey} 0.6, {red} 0.4
  EXPECT_EQ(text(), "gr");
  EXPECT_NEAR(outcome_.probability, 0.6, 1e-6);
  EXPECT_EQ(advance({{"een", 0.3}, {"ey", 0.6}, {"e", 0.1}}), Finish::kStop);  // e alone leaves both open: a group of its own
  EXPECT_EQ(text(), "grey");
  EXPECT_NEAR(outcome_.probability, 0.6 * 0.6, 1e-6);
}

TEST_F(GenerationTest, StopsAsSoonAsTheValueIsDecided) {
  const Constraint constraint = choice({{"apple"}, {"pear"}});
  begin({"a", "pple", "p", "ear"}, &constraint);
  EXPECT_EQ(advance({{"a", 0.6}, {"p", 0.4}}), Finish::kStop);
  EXPECT_EQ(text(), "a");
}

TEST_F(GenerationTest, DecidedBeforeTheFirstTokenNeedsNone) {
  const Constraint constraint = choice({{"only"}});
  begin({"only"}, &constraint);
  EXPECT_EQ(advance({{"only", 1}}), Finish::kStop);
  EXPECT_EQ(text(), "");
  EXPECT_EQ(outcome_.probability, 1);
  EXPECT_EQ(outcome_.state, 0);
}

TEST_F(GenerationTest, TheEndCompetesWhereItIsAllowed) {
  const Constraint constraint = choice({{"1"}, {"12"}});
  begin({"1", "2"}, &constraint);
  EXPECT_EQ(advance({{"1", 0.1}, {"", 0.9}}), std::nullopt);  // not accepting yet: the end is not among the candidates
  EXPECT_EQ(text(), "1");
  EXPECT_NEAR(outcome_.probability, 1, 1e-9);
  EXPECT_EQ(outcome_.margins[0], kInfinity);
  EXPECT_EQ(advance({{"2", 0.2}, {"", 0.6}}), Finish::kEos);
  EXPECT_NEAR(outcome_.probability, 0.75, 1e-6);
  EXPECT_EQ(text(), "1");
}

TEST_F(GenerationTest, TheEndCountsForTheValueItEnds) {
  const Constraint constraint = choice({{"left", "left."}, {"left side"}});
  begin({"left", ".", " side"}, &constraint);
  EXPECT_EQ(advance({{"left", 1}}), std::nullopt);
  const std::optional<Finish> finish = advance({{" side", 0.4}, {".", 0.25}, {"", 0.35}});
  EXPECT_EQ(finish, Finish::kEos);
  EXPECT_EQ(text(), "left");
  EXPECT_NEAR(outcome_.probability, 0.6, 1e-6);
}

TEST_F(GenerationTest, LongerValueWinsOverTheEnd) {
  const Constraint constraint = choice({{"1"}, {"12"}});
  begin({"1", "2"}, &constraint);
  EXPECT_EQ(advance({{"1", 1}}), std::nullopt);
  EXPECT_EQ(advance({{"2", 0.8}, {"", 0.2}}), Finish::kStop);
  EXPECT_EQ(text(), "12");
  EXPECT_NEAR(outcome_.probability, 0.8, 1e-6);
}

/// Free text: bytes a and b, at most two, then nothing.
Constraint free_text() {
  Constraint constraint;
  constraint.states = 3;
  constraint.column = testing::all_bytes();
  constraint.next.assign(3 * 256, -1);
  for (int state = 0; state < 2; ++state) {
    for (const char c : {'a', 'b'}) constraint.next[static_cast<size_t>(state) * 256 + static_cast<size_t>(c)] = state + 1;
  }
  constraint.accepting.assign(3, 1);
  constraint.group.assign(3, -1);
  constraint.ends.assign(3, 0);
  constraint.decided.assign(3, 0);
  return constraint;
}

TEST_F(GenerationTest, FreeTextIsNotGrouped) {
  const Constraint constraint = free_text();
  begin({"a", "b", "bb", "c"}, &constraint);
  EXPECT_EQ(advance({{"a", 0.3}, {"b", 0.25}, {"bb", 0.25}, {"c", 9}, {"", 0.2}}), std::nullopt);
  EXPECT_EQ(text(), "a");
  EXPECT_NEAR(outcome_.probability, 0.3, 1e-6);
}

TEST_F(GenerationTest, EndsWithoutAStepWhereOnlyTheEndCanFollow) {
  const Constraint constraint = free_text();
  begin({"a", "b", "bb"}, &constraint);
  EXPECT_EQ(advance({{"bb", 0.9}, {"a", 0.1}}), Finish::kStop);
  EXPECT_EQ(text(), "bb");
  EXPECT_EQ(outcome_.state, 2);
}

TEST_F(GenerationTest, DeadEndStopsWhereItIs) {
  const Constraint constraint = choice({{"xyz"}, {"xyw"}});
  begin({"x", "xy"}, &constraint);  // nothing spells z or w
  EXPECT_EQ(advance({{"xy", 1}}), Finish::kStop);
  EXPECT_EQ(text(), "xy");
  EXPECT_EQ(constraint.accepting[static_cast<size_t>(outcome_.state)], 0);

  outcome_ = {};
  begin({"q"}, &constraint);  // not even a first token
  EXPECT_EQ(advance({{"q", 1}}), Finish::kStop);
  EXPECT_EQ(text(), "");
  EXPECT_EQ(outcome_.state, 0);
}

TEST_F(GenerationTest, NotANumberIsNeverChosen) {
  begin({"a", "b"}, nullptr);
  const float some[] = {-3, NAN, 1};
  EXPECT_EQ(generation_->advance(some, {}), std::nullopt);
  EXPECT_EQ(text(), "b");
  const float none[] = {NAN, NAN, kInfinity};
  try {
    generation_->advance(none, {});
    FAIL() << "expected ERR_INTERNAL";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kInternal);
  }
}

TEST_F(GenerationTest, AGreedyAnswerTakesChoicesAsItTakesLogits) {
  job_.max_tokens = 5;
  begin({"a", "", "b"}, nullptr);
  const Chooser chooser = generation_->chooser();
  ASSERT_NE(chooser.candidates, nullptr);
  EXPECT_EQ(*chooser.candidates, (std::vector<int32_t>{1, 3, 0}));
  EXPECT_EQ(chooser.constraint, nullptr);
  EXPECT_EQ(*chooser.stop_ids, job_.stop_ids);
  EXPECT_EQ(chooser.tokens_left, 5);
  EXPECT_EQ(generation_->advance(Choice{3, 1.5f}, {}), std::nullopt);
  EXPECT_EQ(generation_->advance(Choice{0, 0.25f}, {}), Finish::kEos);
  EXPECT_EQ(text(), "b");
  EXPECT_EQ(outcome_.margins, (std::vector<float>{1.5f, 0.25f}));
  EXPECT_THROW(generation_->advance(Choice{}, {}), Error);
}

TEST_F(GenerationTest, AnAnswerUnderAConstraintTakesChoicesAsItTakesLogits) {
  const Constraint constraint = choice({{"aab"}, {"aac"}, {"ab"}});
  const auto state = [&](const std::string& text) {
    int32_t at = 0;
    for (const char c : text) at = constraint.next[static_cast<size_t>(at) * 256 + static_cast<uint8_t>(c)];
    return at;
  };
  begin({"a", "b", "c"}, &constraint);
  EXPECT_EQ(advance({{"a", 1}}), std::nullopt);
  Chooser chooser = generation_->chooser();
  EXPECT_EQ(chooser.candidates, nullptr);
  EXPECT_EQ(*chooser.constraint->next.data(), -1);
  EXPECT_EQ(chooser.state, state("a"));
  EXPECT_EQ(generation_->advance(Choice{1, 0.5f, state("aa"), 0.75f}, {}), std::nullopt);
  chooser = generation_->chooser();
  EXPECT_EQ(chooser.state, state("aa"));
  EXPECT_EQ(chooser.tokens_left, job_.max_tokens - 2);
  EXPECT_EQ(generation_->advance(Choice{3, 2, state("aac"), 0.5f}, {}), Finish::kStop);
  EXPECT_EQ(text(), "aac");
  EXPECT_EQ(outcome_.margins, (std::vector<float>{kInfinity, 0.5f, 2}));
  EXPECT_DOUBLE_EQ(outcome_.probability, 0.75 * 0.5);
  EXPECT_EQ(outcome_.state, state("aac"));
}

TEST_F(GenerationTest, AChoiceUnderAConstraintMayEndTheAnswer) {
  const Constraint constraint = choice({{"1"}, {"12"}});
  const auto after_one = [&] {
    outcome_ = {};
    begin({"1", "2"}, &constraint);
    EXPECT_EQ(advance({{"1", 1}}), std::nullopt);
  };
  after_one();
  const int32_t state = outcome_.state;
  EXPECT_EQ(generation_->advance(Choice{0, 1, state, 0.5f}, {}), Finish::kEos);
  EXPECT_EQ(text(), "1");
  EXPECT_EQ(outcome_.state, state);
  EXPECT_EQ(outcome_.probability, 0.5);

  after_one();  // a state that nothing leads on from, though no value is decided
  EXPECT_EQ(generation_->advance(Choice{2, 1, 0, 1, true}, {}), Finish::kStop);
  EXPECT_EQ(text(), "12");

  after_one();
  EXPECT_EQ(generation_->advance(Choice{Choice::kNoneAllowed}, {}), Finish::kStop);
  EXPECT_EQ(text(), "1");
  EXPECT_EQ(outcome_.margins.size(), 1u);

  after_one();
  EXPECT_THROW(generation_->advance(Choice{Choice::kNoneCounts}, {}), Error);

  job_.max_tokens = 2;
  after_one();
  EXPECT_EQ(generation_->chooser().tokens_left, 1);
  EXPECT_EQ(generation_->advance(Choice{2, 1, 0, 1}, {}), Finish::kLength);
}

TEST_F(GenerationTest, WhoSamplesWantsLogits) {
  const Constraint constraint = choice({{"a"}, {"b"}});
  job_.sampling = {1, 1, 7};
  for (const Constraint* const one : {&constraint, static_cast<const Constraint*>(nullptr)}) {
    begin({"a", "b"}, one);
    EXPECT_EQ(generation_->chooser().candidates, nullptr);
    EXPECT_EQ(generation_->chooser().constraint, nullptr);
  }
  std::map<std::string, int> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    outcome_ = {};
    job_.sampling = {1, 1, seed};
    begin({"a", "b"}, nullptr);
    const bool ended = advance({{"a", 0.4}, {"b", 0.3}, {"", 0.3}}) == Finish::kEos;
    EXPECT_EQ(ended, text().empty());
    ++seen[text()];
  }
  EXPECT_EQ(seen.size(), 3u);
}

TEST_F(GenerationTest, NothingToChooseFromIsTheEnd) {
  job_.stop_ids = {};
  vocabulary_ = std::make_unique<Vocabulary>(testing::vocabulary({""}));
  generation_.emplace(job_, std::make_shared<const std::vector<int32_t>>(vocabulary_->candidates({})), nullptr, outcome_);
  const float logits[] = {1};
  EXPECT_EQ(generation_->advance(logits, {}), Finish::kStop);
  EXPECT_TRUE(outcome_.margins.empty());
}

TEST_F(GenerationTest, ReportsEachTokenButNotTheEnd) {
  begin({"a"}, nullptr);
  std::vector<int32_t> told;
  const auto tell = [&](int32_t id) { told.push_back(id); };
  const float more[] = {0, 1}, end[] = {1, 0};
  generation_->advance(more, tell);
  generation_->advance(end, tell);
  EXPECT_EQ(told, (std::vector<int32_t>{1}));
}

}  // namespace
}  // namespace mipha
