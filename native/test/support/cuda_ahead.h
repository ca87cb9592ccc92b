// Answers of the CUDA backend as the engine goes on with them, written down with and without steps that run ahead.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "test/support/backend_layers.h"

namespace mipha::test {

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
inline std::shared_ptr<const Package> one_layer() {
  Config config = tiny_config();
  config.vision.layers = config.language.layers = 1;
  config.language.intermediate = 72;
  return std::make_shared<TinyModel>(config);
}

/// Bytes of each id: letters from a to d; the first has none.
inline std::vector<std::vector<uint8_t>> letter_words(int vocab) {
  std::vector<std::vector<uint8_t>> bytes;
  for (int id = 0; id < vocab; ++id) {
    std::vector<uint8_t> word;
    for (int rest = id; rest > 0; rest /= 4) word.push_back(static_cast<uint8_t>('a' + rest % 4));
    bytes.push_back(word);
  }
  return bytes;
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

}  // namespace mipha::test
