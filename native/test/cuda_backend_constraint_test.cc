// Tokens that the CUDA backend chooses under a constraint: those that the caller would choose from logits, whether or not steps run ahead.
#include <cstdlib>

#include "engine/generation.h"
#include "test/support/automaton.h"
#include "test/support/cuda_ahead.h"

namespace mipha::test {
namespace {

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

/// Tokens of letters, one without bytes, and automata over them.
class Constrained : public Ahead {
 protected:
  Constrained() : vocabulary(letter_words(loaded.vocab)), automata(vocabulary) { backend.set_vocabulary(vocabulary.bytes(), vocabulary.sorted()); }

  /// `count` values of `letters` letters each.
  static Constraint spellings(int count, int letters) {
    std::vector<std::vector<std::string>> values;
    for (int value = 0; value < count; ++value) {
      std::string text;
      for (int i = 0; i < letters; ++i)
        text += static_cast<char>('a' + (value >> (i % 6)) % 4 + (i * value) % 2) > 'd' ? 'd' : static_cast<char>('a' + (value + i * i) % 4);
      values.push_back({text, text + "a"});
    }
    return mipha::testing::choice(values);
  }
  /// Text that ends after `bytes` bytes.
  static Constraint text(int bytes) {
    Constraint constraint;
    constraint.states = bytes + 1;
    constraint.column.assign(256, 0);
    for (const char c : {'a', 'b', 'c', 'd'}) constraint.column[static_cast<uint8_t>(c)] = 1;
    for (int state = 0; state <= bytes; ++state) {
      constraint.next.push_back(-1);
      constraint.next.push_back(state < bytes ? state + 1 : -1);
      constraint.accepting.push_back(state % 7 == 6 ? 1 : 0);
    }
    constraint.group.assign(constraint.states, -1);
    constraint.ends.assign(constraint.states, 0);
    constraint.decided.assign(constraint.states, 0);
    return constraint;
  }

  /// An answer to `ids` with choices of the device, or by the caller from logits.
  AskOutcome ask(const std::vector<int32_t>& ids, const AskJob& job, bool by_caller, int* chosen = nullptr) {
    AskOutcome outcome;
    const auto list = std::make_shared<const std::vector<int32_t>>(vocabulary.candidates(job.stop_ids));
    Generation generation(job, list, job.constraint ? automata.find(job.constraint) : nullptr, outcome);
    const int sequence = backend.sequence();
    const std::vector<float> first = loaded.append(sequence, ids);
    std::optional<Finish> finish = generation.advance(first.data(), {});
    while (!finish) {
      Going one{sequence, outcome.ids.back(), by_caller ? Chooser{} : generation.chooser()};
      const Choice choice = decode({&one}).front();
      if (choice.id == Choice::kByCaller) {
        finish = generation.advance(logits.data(), {});
      } else {
        finish = generation.advance(choice, {});
        if (chosen) ++*chosen;
      }
    }
    backend.release(sequence);
    outcome.finish = *finish;
    return outcome;
  }
  void expect_same(const AskJob& job, int first, const std::string& what) {
    int chosen = 0;
    const AskOutcome device = ask(token_ids(9, first), job, false, &chosen), host = ask(token_ids(9, first), job, true);
    EXPECT_EQ(device.finish, host.finish) << what;
    EXPECT_EQ(device.ids, host.ids) << what;
    EXPECT_EQ(device.margins, host.margins) << what;
    EXPECT_GT(*std::max_element(device.margins.begin(), device.margins.end()), 0) << what << ": logits that are all alike prove nothing";
    EXPECT_EQ(device.state, host.state) << what;
    EXPECT_NEAR(device.probability, host.probability, 1e-5) << what;
    EXPECT_EQ(chosen, static_cast<int>(device.margins.size()) - 1) << what;
    tokens += static_cast<int>(device.ids.size());
  }

  const Vocabulary vocabulary;
  ConstraintCache automata;
  int tokens = 0;
};

TEST_F(Constrained, AnswersAreThoseThatTheCallerChooses) {
  for (int i = 0; i < 8; ++i) {
    AskJob job;
    job.stop_ids = i % 4 == 3 ? std::vector<int32_t>{} : i % 4 == 2 ? std::vector<int32_t>{0, 5, 77} : std::vector<int32_t>{0};
    job.max_tokens = i == 7 ? 3 : 60;
    job.constraint = checked(i % 3 == 0 ? text(30 + 5 * i) : spellings(3 + 4 * i, 4 + i));
    expect_same(job, 5 * i, "answer " + std::to_string(i));
  }
  EXPECT_GT(tokens, 40);
  EXPECT_GT(cuda::step_counts(backend).ahead, 10);
}

TEST_F(Constrained, BatchesRunAhead) {
  const auto free_text = checked(text(90)), typed = checked(spellings(20, 24));
  const std::vector<int32_t> stops = {0};
  const cuda::StepCounts counts = compare([&](Transcript& transcript) {
    std::vector<Going> answers;
    for (int i = 0; i < 5; ++i) {
      answers.push_back(going(prefilled(11 + i, i), 7 * i, 25, i == 2 ? all : nullptr, &stops));
      if (i != 2) answers.back().chooser.constraint = i % 2 == 0 ? free_text : typed;
    }
    std::vector<Going*> batch;
    for (Going& one : answers) batch.push_back(&one);
    go(batch, 40, transcript);
    for (const Going& one : answers) backend.release(one.sequence);
  });
  EXPECT_GT(counts.ahead, 5);
}

TEST_F(Constrained, WhatTheDeviceDoesNotTakeIsLeftToTheCaller) {
  Going one = going(prefilled(8, 1), 3, 4, nullptr);
  const auto id_of = [&](const Constraint& constraint) {
    one.chooser.constraint = checked(constraint);
    return decode({&one}).front().id;
  };
  EXPECT_GE(id_of(text(5)), 0);
  Constraint large = text(1);  // larger than all constraints together may be
  large.column = mipha::testing::all_bytes();
  large.states = 9000;
  large.next.assign(size_t{9000} * 256, 1);
  for (auto* list : {&large.group, &large.ends}) list->assign(9000, 0);
  for (auto* list : {&large.accepting, &large.decided}) list->assign(9000, 0);
  EXPECT_EQ(id_of(large), Choice::kByCaller);
  EXPECT_TRUE(std::isfinite(logits.front()));
  Constraint many = text(cuda::kMostGroups + 5);
  for (int i = 0; i < many.states; ++i) many.group[i] = i;
  EXPECT_EQ(id_of(many), Choice::kByCaller);
  std::vector<int32_t> stops;
  for (int i = 0; i <= cuda::kMostStops; ++i) stops.push_back(i);
  one.chooser.stop_ids = &stops;
  EXPECT_EQ(id_of(text(6)), Choice::kByCaller);
  stops.pop_back();
  EXPECT_GE(id_of(text(6)), 0);
}

TEST_F(Constrained, ConstraintsTakeEachOthersPlaces) {
  std::vector<std::shared_ptr<const Constraint>> constraints;
  for (int i = 0; i < cuda::kConstraints + 3; ++i) constraints.push_back(checked(spellings(3 + i, 5)));
  AskJob job;
  job.stop_ids = {0};
  for (const int round : {0, 1}) {
    for (size_t i = 0; i < constraints.size(); ++i) {
      if (round == 1 && i % 4 != 0) continue;
      job.constraint = constraints[i];
      expect_same(job, 3, "constraint " + std::to_string(i));
    }
  }
}

TEST_F(Constrained, WithoutAVocabularyTheCallerChooses) {
  Loaded untold("cuda", {}, one_layer());
  const int sequence = untold.backend->sequence();
  untold.append(sequence, token_ids(5));
  Chooser chooser;
  chooser.constraint = checked(text(5));
  const int32_t id = 3;
  Choice choice;
  std::vector<float> row(untold.vocab);
  untold.backend->decode(&sequence, &id, &chooser, 1, row.data(), &choice);
  EXPECT_EQ(choice.id, Choice::kByCaller);
}

}  // namespace
}  // namespace mipha::test
