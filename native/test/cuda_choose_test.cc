// Tokens chosen under a constraint on the device, compared with what Generation makes of the same logits, on the machine without a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "engine/generation.h"
#include "test/machine/machine.h"
#include "test/support/automaton.h"
#include "test/support/cuda_choosing.h"
#include "test/support/cuda_matrix.h"

namespace mipha::test {
namespace {

using mipha::testing::choice;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
const cuda::Launch kLaunch{nullptr, 1};

/// Random strings over a few letters; some ids have no bytes, some have the same ones.
std::vector<std::vector<uint8_t>> random_vocabulary(Numbers& numbers, int count, const std::string& letters, int longest) {
  std::vector<std::vector<uint8_t>> bytes(count);
  for (auto& token : bytes) {
    const int length = numbers.below(20) == 0 ? 0 : 1 + numbers.below(longest);
    for (int i = 0; i < length; ++i) token.push_back(static_cast<uint8_t>(letters[numbers.below(static_cast<int>(letters.size()))]));
  }
  return bytes;
}

/// Any automaton: loops, dead ends, text and groups mixed, of few letters.
Constraint random_constraint(Numbers& numbers, int states, const std::string& letters, int groups) {
  Constraint constraint;
  constraint.states = states;
  constraint.column.assign(256, 0);
  for (size_t i = 0; i < letters.size(); ++i) constraint.column[static_cast<uint8_t>(letters[i])] = static_cast<uint8_t>(1 + i / 2);
  for (size_t i = 0; i < states * constraint.columns(); ++i) constraint.next.push_back(numbers.below(3) == 0 ? -1 : numbers.below(states));
  for (int i = 0; i < states; ++i) {
    constraint.accepting.push_back(static_cast<uint8_t>(numbers.below(2)));
    constraint.group.push_back(numbers.below(groups + 2) - 1);
    constraint.ends.push_back(numbers.below(2) * (1 + numbers.below(groups)));
    constraint.decided.push_back(numbers.below(6) == 0 ? 1 : 0);
  }
  return constraint;
}

/// One answer of a step, as the host has it.
struct Row {
  std::shared_ptr<const Constraint> constraint;  // null: not chosen by constraint
  int32_t state = 0;
  std::vector<int32_t> stops;
};

struct Outcome {
  AskOutcome answer;
  std::optional<Finish> finish;
  bool failed = false;
};

/// What the engine makes of `next`, logits or a Choice.
template <class Next>
Outcome advance(const Vocabulary& vocabulary, const Row& row, const Next& next) {
  Outcome outcome;
  AskJob job;
  job.stop_ids = row.stops;
  Generation generation(job, std::make_shared<const std::vector<int32_t>>(vocabulary.candidates(row.stops)),
                        std::make_shared<TokenAutomaton>(vocabulary, row.constraint), outcome.answer);
  outcome.answer.state = row.state;
  try {
    outcome.finish = generation.advance(next, {});
  } catch (const Error&) {
    outcome.failed = true;
  }
  return outcome;
}

/// Whether `chosen` is of a group as heavy as any, but for the rounding of sums: then neither side is wrong.
bool as_heavy(const Vocabulary& vocabulary, const Row& row, const float* logits, int32_t a, int32_t b) {
  const Transitions transitions = vocabulary.walk(*row.constraint, row.state);
  std::map<int32_t, double> masses;
  std::map<int32_t, int32_t> keys;
  const auto offer = [&](int32_t id, int32_t key) {
    if (!std::isfinite(logits[id])) return;
    keys[id] = key == -1 ? -1000 - id : key;
    masses[keys[id]] += std::exp(static_cast<double>(logits[id]));
  };
  for (size_t i = 0; i < transitions.ids.size(); ++i) {
    if (std::count(row.stops.begin(), row.stops.end(), transitions.ids[i]) == 0) offer(transitions.ids[i], transitions.groups[i]);
  }
  if (row.constraint->accepting[row.state] != 0) {
    const int32_t value = row.constraint->ends[row.state];
    for (const int32_t id : row.stops) offer(id, value != 0 ? value : -2);
  }
  return keys.count(a) != 0 && keys.count(b) != 0 && std::fabs(masses[keys[a]] / masses[keys[b]] - 1) < 1e-6;
}

class CudaChoose : public ::testing::Test {
 protected:
  Numbers numbers{29};
  int compared = 0, close = 0;
  void TearDown() override { EXPECT_EQ(machine::take_report(), ""); }

  /// Chooses for up to eight rows and compares; logits [rows][vocab].
  void compare(Vocabularies& v, const std::vector<Row>& rows, const std::vector<float>& logits, const std::string& what) {
    const int count = static_cast<int>(rows.size());
    std::map<const Constraint*, std::unique_ptr<DeviceConstraint>> uploaded;
    std::vector<cuda::Answer> answers(count);
    for (int i = 0; i < count; ++i) {
      if (!rows[i].constraint) continue;
      auto& constraint = uploaded[rows[i].constraint.get()];
      if (!constraint) constraint = std::make_unique<DeviceConstraint>(*rows[i].constraint);
      answers[i].automaton = constraint->automaton;
      answers[i].state = rows[i].state;
      answers[i].stop_count = static_cast<int32_t>(rows[i].stops.size());
      std::copy(rows[i].stops.begin(), rows[i].stops.end(), answers[i].stops);
    }
    const Buffer<cuda::Answer> device_answers(answers);
    const Buffer<float> device_logits(logits);
    const cuda::Chosen untouched{-77, 7, 77, 0.5f, 9};
    const Buffer<cuda::Chosen> chosen(std::vector<cuda::Chosen>(count, untouched));
    MACHINE_CHECK(cuda::walk(kLaunch, v.walked, device_answers.data(), count));
    MACHINE_CHECK(cudaDeviceSynchronize());
    check_walk(v, rows, what);
    MACHINE_CHECK(cuda::choose(kLaunch, v.walked, device_answers.data(), count, device_logits.data(), v.vocab, chosen.data()));
    MACHINE_CHECK(cudaDeviceSynchronize());
    EXPECT_EQ(v.counts(), std::vector<int32_t>(cuda::kMostSequences, 0)) << what;
    const std::vector<cuda::Chosen> got = chosen.get();
    const std::vector<cuda::Answer> moved = device_answers.get();
    for (int i = 0; i < count; ++i) {
      if (!rows[i].constraint) {
        EXPECT_EQ(got[i].id, untouched.id) << what;
        continue;
      }
      const float* const own = logits.data() + static_cast<size_t>(i) * v.vocab;
      const bool last = got[i].id >= 0 && v.plain.walk(*rows[i].constraint, got[i].state).ids.empty();
      const Choice choice{got[i].id, got[i].margin, got[i].state, got[i].share, last};
      const Outcome device = advance(v.plain, rows[i], choice);
      const Outcome host = start_is_over(v, rows[i]) ? device : advance(v.plain, rows[i], own);
      const std::string where = what + ", row " + std::to_string(i) + ", state " + std::to_string(rows[i].state);
      EXPECT_EQ(moved[i].state, got[i].state) << where;
      EXPECT_EQ(device.failed, host.failed) << where;
      EXPECT_EQ(device.answer.margins, host.answer.margins) << where;
      EXPECT_NEAR(device.answer.probability, host.answer.probability, 1e-5) << where;
      ++compared;
      const int32_t token = device.answer.ids.empty() ? got[i].id : device.answer.ids.back();
      if (device.answer.ids != host.answer.ids && !host.answer.ids.empty() && as_heavy(v.plain, rows[i], own, token, host.answer.ids.back())) {
        ++close;
        continue;
      }
      EXPECT_EQ(device.answer.ids, host.answer.ids) << where;
      EXPECT_EQ(device.finish, host.finish) << where;
      EXPECT_EQ(device.answer.state, host.answer.state) << where;
    }
  }

  /// The engine does not step from such a state; what is chosen there is of no matter.
  static bool start_is_over(const Vocabularies& v, const Row& row) {
    return row.constraint->decided[row.state] != 0 || v.plain.walk(*row.constraint, row.state).ids.empty();
  }

  static void check_walk(const Vocabularies& v, const std::vector<Row>& rows, const std::string& what) {
    const std::vector<int32_t> counts = v.counts();
    for (size_t i = 0; i < rows.size(); ++i) {
      const Transitions expected = rows[i].constraint ? v.plain.walk(*rows[i].constraint, rows[i].state) : Transitions{};
      ASSERT_EQ(counts[i], static_cast<int32_t>(expected.ids.size())) << what;
      if (!rows[i].constraint) continue;
      Constraint numbered = *rows[i].constraint;
      const cuda::NumberedGroups groups = cuda::number_groups(numbered);
      numbered.group = groups.group, numbered.ends = groups.ends;
      const Transitions of_numbers = v.plain.walk(numbered, rows[i].state);
      std::map<int32_t, std::pair<int32_t, int32_t>> got, want;
      for (const cuda::Transition& one : v.transitions(static_cast<int>(i), counts[i])) got[v.plain.sorted()[one.token]] = {one.target, one.group};
      for (size_t t = 0; t < expected.ids.size(); ++t) want[expected.ids[t]] = {expected.targets[t], of_numbers.groups[t]};
      ASSERT_EQ(got, want) << what << ", row " << i;
    }
  }

  std::vector<float> random_logits(int count, int kind) {
    std::vector<float> logits(count);
    for (float& logit : logits) {
      logit = numbers.between(-8, 8) + numbers.between(-8, 8);
      if (kind == 1) logit = std::floor(logit / 4);  // ties
      if (kind == 2) logit *= 20;                    // one outweighs all others
      if (kind == 3 && numbers.below(3) == 0) logit = numbers.below(2) == 0 ? NAN : numbers.below(2) == 0 ? kInfinity : -kInfinity;
      if (kind == 4) logit = NAN;
      if (kind == 5) logit = 2;  // all alike
    }
    return logits;
  }
};

constexpr int kLogitKinds = 6;

TEST_F(CudaChoose, WhatGenerationChooses) {
  const std::string letters = "abcdef";
  Vocabularies v(random_vocabulary(numbers, 600, letters, 4));
  for (int round = 0; round < 60; ++round) {
    const auto constraint = std::make_shared<const Constraint>(random_constraint(numbers, 1 + numbers.below(30), letters, 1 + numbers.below(12)));
    std::vector<Row> rows;
    for (int i = 0; i < 1 + round % 8; ++i) {
      Row row{constraint, numbers.below(constraint->states), {}};
      std::set<int32_t> stops;
      for (int stop = numbers.below(5); stop > 0; --stop) stops.insert(numbers.below(v.vocab));
      row.stops.assign(stops.begin(), stops.end());
      if (i == 2) row.constraint = nullptr;
      rows.push_back(row);
    }
    compare(v, rows, random_logits(static_cast<int>(rows.size()) * v.vocab, round % kLogitKinds), "round " + std::to_string(round));
  }
  EXPECT_GT(compared, 200);
  EXPECT_LE(close, compared / 50);
}

TEST_F(CudaChoose, TypedAnswers) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 1500; ++i) tokens.push_back(std::to_string(i));
  for (const char* word : {"", "yes", "Yes", " yes", "no", "No", "n", "y", "es", "o", "left", "left.", " side", ".", "le", "ft", "-"})
    tokens.push_back(word);
  Vocabularies v(mipha::testing::vocabulary(tokens));
  const std::vector<int32_t> stops = {1500};  // without bytes
  std::vector<std::vector<std::string>> values;
  for (int i = 0; i < 1200; ++i) values.push_back({std::to_string(i), "-" + std::to_string(i)});
  const auto ready = [](const Constraint& constraint) { return std::make_shared<const Constraint>(constraint); };
  // 1200 values: more groups than a block has threads.
  const auto whole = ready(choice(values)), words = ready(choice({{"yes", "Yes", " yes"}, {"no", "No"}})),
             sides = ready(choice({{"left", "left."}, {"left side"}})), only = ready(choice({{"only"}}));
  EXPECT_GT(cuda::number_groups(*whole).groups, 1200);
  for (int kind = 0; kind < kLogitKinds; ++kind) {
    std::vector<Row> rows;
    for (const auto& constraint : {whole, words, sides, only}) {
      rows.push_back({constraint, 0, stops});
      rows.push_back({constraint, numbers.below(constraint->states), stops});
    }
    compare(v, rows, random_logits(8 * v.vocab, kind), "kind " + std::to_string(kind));
  }
  EXPECT_LE(close, 1);
}

TEST_F(CudaChoose, AFullVocabulary) {
  Vocabularies v(random_vocabulary(numbers, 51200, "abcdefghijklmnopqrstuvwxyz .", 9));
  Constraint text = random_constraint(numbers, 2, "", 1);  // everything is allowed, as in free text
  text.next = {1, 0};
  text.accepting = {1, 1}, text.group = {-1, -1}, text.ends = {0, 0}, text.decided = {0, 0};
  Constraint grouped = text;  // all of it in one of a few groups
  grouped.group = {1, 2};
  Constraint few = choice({{"a", "ab", "abc"}, {"the ", "a b"}, {"zz", "z", "yes"}});
  const std::vector<int32_t> stops = {3, 700, 51201};
  std::vector<Row> rows;
  for (const Constraint& constraint : {text, grouped, few}) rows.push_back({std::make_shared<const Constraint>(constraint), 0, stops});
  for (const int kind : {0, 1, 5}) compare(v, rows, random_logits(3 * v.vocab, kind), "kind " + std::to_string(kind));
  EXPECT_EQ(close, 0);
}

TEST_F(CudaChoose, TheFirstOfEqualOnes) {
  Vocabularies v(mipha::testing::vocabulary({"b", "a", "c", "", "a"}));
  Constraint constraint = choice({{"a"}, {"b"}, {"c"}});
  const auto choose = [&](const Constraint& one, const std::vector<float>& logits) {
    const Row row{std::make_shared<const Constraint>(one), 0, {3}};
    compare(v, {row}, logits, "equal");
  };
  const std::vector<float> alike(v.vocab, 1);
  choose(constraint, alike);  // a twice: its group is heaviest, and its first id wins
  constraint.accepting[0] = 1;
  choose(constraint, alike);
  constraint.group[0] = -1;  // nothing stands together
  choose(constraint, alike);
  choose(constraint, {0, 0, 5, 5, 0, 0, 0, 0});  // a token before the end
  choose(constraint, {0, 0, 5, 6, 0, 0, 0, 0});
  constraint.group[0] = 0;
  choose(constraint, {2, 1, 2, 1, 1, 0, 0, 0});  // b and c alike
  EXPECT_EQ(close, 0);
}

/// Two groups of the same mass, whose members take turns over more tokens than a block has threads.
TEST_F(CudaChoose, TheGroupWhoseFirstMemberStandsFirst) {
  constexpr int kTokens = 2 * 1024 + 1;
  std::vector<std::vector<uint8_t>> bytes;
  for (int i = 0; i < kTokens; ++i) bytes.push_back({static_cast<uint8_t>(i / 256), static_cast<uint8_t>(i % 256)});
  Vocabularies v(bytes);
  Constraint constraint;  // the second byte's last bit is the value
  constraint.states = 4;
  for (int byte = 0; byte < 256; ++byte) constraint.column.push_back(static_cast<uint8_t>(byte % 2));
  constraint.next = {1, 1, 2, 3, -1, -1, -1, -1};
  constraint.accepting = {0, 0, 1, 1}, constraint.group = {0, 0, 1, 2}, constraint.ends = {0, 0, 0, 0}, constraint.decided = {0, 0, 1, 1};
  std::vector<float> logits(v.vocab, 1);
  logits[500] = NAN;  // 1024 of each
  compare(v, {{std::make_shared<const Constraint>(constraint), 0, {}}}, logits, "turns");
  EXPECT_EQ(close, 0);
}

}  // namespace
}  // namespace mipha::test
