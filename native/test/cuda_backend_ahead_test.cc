// Steps that the CUDA backend computes before they are asked for, and choices made where the logits are: the same as without.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "engine/generation.h"
#include "test/support/automaton.h"
#include "test/support/backend_layers.h"

namespace mipha::test {
namespace {

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 1);

/// What happened, word by word: floats by their bits.
class Transcript {
 public:
  void add(const Choice& choice) {
    char line[128];
    std::snprintf(line, sizeof line, "%d %a %d %a %d", choice.id, choice.margin, choice.state, choice.share, choice.last ? 1 : 0);
    lines.emplace_back(line);
  }
  void add(const std::vector<float>& logits) {
    double sum = 0;
    for (const float logit : logits) sum = sum * 1.7 + logit;
    char line[64];
    std::snprintf(line, sizeof line, "logits %a", sum);
    lines.emplace_back(line);
  }
  std::vector<std::string> lines;
};

/// An answer as the engine goes on with it.
struct Going {
  int sequence = -1;
  int32_t id = 0;
  Chooser chooser;

  bool take(const Choice& choice) {
    id = choice.id;
    chooser.state = choice.state;
    const bool stopped = chooser.stop_ids != nullptr && std::count(chooser.stop_ids->begin(), chooser.stop_ids->end(), id) > 0;
    const bool decided = chooser.constraint && id >= 0 && chooser.constraint->decided[choice.state] != 0;
    return id >= 0 && !stopped && !decided && !choice.last && --chooser.tokens_left > 0;
  }
};

/// A layer of the decoder is as good as many here.
std::shared_ptr<const Package> one_layer() {
  Config config = tiny_config();
  config.vision.layers = config.language.layers = 1;
  config.language.intermediate = 72;
  return std::make_shared<TinyModel>(config);
}

class Ahead : public ::testing::Test {
 protected:
  Loaded loaded{"cuda", {}, one_layer()};
  Backend& backend = *loaded.backend;
  const Candidates all = candidates(0), odd = candidates(1);

  Candidates candidates(int first) const {
    std::vector<int32_t> ids;
    for (int id = first; id < 90; id += first + 1) ids.push_back(id);
    return std::make_shared<const std::vector<int32_t>>(ids);
  }

  Going going(int sequence, int32_t id, int tokens, const Candidates& from, const std::vector<int32_t>* stops = nullptr) const {
    Going one{sequence, id, {}};
    one.chooser.candidates = from;
    one.chooser.tokens_left = tokens;
    one.chooser.stop_ids = stops;
    return one;
  }
  int prefilled(int rows, int first) {
    const int sequence = backend.sequence();
    loaded.append(sequence, token_ids(rows, first));
    return sequence;
  }

  std::vector<Choice> decode(const std::vector<Going*>& batch) {
    std::vector<int> sequences;
    std::vector<int32_t> ids;
    std::vector<Chooser> choosers;
    for (const Going* one : batch) {
      sequences.push_back(one->sequence);
      ids.push_back(one->id);
      choosers.push_back(one->chooser);
    }
    std::vector<Choice> choices(batch.size());
    logits.assign(batch.size() * loaded.vocab, NAN);
    backend.decode(sequences.data(), ids.data(), choosers.data(), static_cast<int>(batch.size()), logits.data(), choices.data());
    return choices;
  }
  /// `steps` steps, or until all are over. Who is over leaves the batch.
  void go(std::vector<Going*>& batch, int steps, Transcript& transcript) {
    for (; steps > 0 && !batch.empty(); --steps) {
      const std::vector<Choice> choices = decode(batch);
      std::vector<Going*> left;
      for (size_t i = 0; i < batch.size(); ++i) {
        transcript.add(choices[i]);
        if (batch[i]->take(choices[i])) left.push_back(batch[i]);
      }
      batch = left;
    }
  }

  /// The same with and without running ahead: a probe is told every layer, which cannot be told ahead of time. What ran ahead.
  cuda::StepCounts compare(const std::function<void(Transcript&)>& scenario) {
    Transcript without, with;
    backend.set_probe([](const std::string&, const float*, int, int) {});
    const cuda::StepCounts before = cuda::step_counts(backend);
    scenario(without);
    const cuda::StepCounts between = cuda::step_counts(backend);
    EXPECT_EQ(between.continued, before.continued);
    backend.set_probe({});
    scenario(with);
    EXPECT_EQ(with.lines, without.lines);
    EXPECT_FALSE(with.lines.empty());
    const cuda::StepCounts after = cuda::step_counts(backend);
    return {after.steps - between.steps, after.continued - between.continued, after.ahead - between.ahead, after.forgotten - between.forgotten};
  }

  std::vector<float> logits;
};

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

// ---- under a constraint

/// Tokens of letters, one without bytes, and automata over them.
class Constrained : public Ahead {
 protected:
  Constrained() : vocabulary(words()), automata(vocabulary) { backend.set_vocabulary(vocabulary.bytes(), vocabulary.sorted()); }

  std::vector<std::vector<uint8_t>> words() const {
    std::vector<std::vector<uint8_t>> bytes;
    for (int id = 0; id < loaded.vocab; ++id) {
      std::vector<uint8_t> word;
      for (int rest = id; rest > 0; rest /= 4) word.push_back(static_cast<uint8_t>('a' + rest % 4));
      bytes.push_back(word);
    }
    return bytes;
  }
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
