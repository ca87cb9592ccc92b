#include "backend/cuda/runtime/steps.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {
namespace {

bool by_caller(const StepChooser& chooser) {
  return chooser.list < 0 && chooser.constraint < 0;
}

bool same(const StepChooser& a, const StepChooser& b) {
  return a.list == b.list && a.constraint == b.constraint && a.state == b.state && a.tokens_left == b.tokens_left &&
         std::equal(a.stops, a.stops + a.stop_count, b.stops, b.stops + b.stop_count);
}

}  // namespace

Steps::Steps(DeviceArena& arena, Model& model, const Launch& launch)
    : model_(model),
      stream_(launch.stream),
      ended_(1),
      decoder_(arena, model, launch, ended_.data()),
      results_(kRing),
      logits_host_(static_cast<size_t>(kMostSequences) * model.config.language.vocab) {
  ended_[0] = 0;
}

Steps::~Steps() {
  cudaStreamSynchronize(stream_);  // of what ran ahead, which writes to page-locked memory
  for (const cudaEvent_t event : done_) {
    if (event != nullptr) cudaEventDestroy(event);
  }
}

void Steps::load() {
  for (cudaEvent_t& event : done_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
  decoder_.load();
}

Choices& Steps::changed_choices() {
  forget();
  return decoder_.choices();
}

void Steps::step(const Step& step) {
  const bool probed = model_.probe.seen != nullptr, going_on = !probed && follows(step), from_host = !going_on || !same_blocks(step);
  ++counts_.steps;
  in_a_row_ = going_on ? in_a_row_ + 1 : 0;
  if (from_host) {
    forget();
    fill(step);
    launch(step, true);
  } else {
    ++counts_.continued;
    if (launched_ > 0)
      ++counts_.ahead;
    else
      launch(step, false);
  }
  // An answer of a token or two is over before it would pay: what was launched ahead of its end is queued for nothing.
  const int ahead = probed || std::any_of(step.choosers, step.choosers + step.count, by_caller) ? 0 : std::min({step.ahead, in_a_row_, kMostAhead});
  while (launched_ < 1 + ahead) launch(step, false);
  collect(step);
}

/// Whether it is what the device goes on with, but for its block tables.
bool Steps::follows(const Step& step) const {
  return next_.there && next_.count == step.count && std::equal(step.ids, step.ids + step.count, next_.ids) &&
         std::equal(step.positions, step.positions + step.count, next_.positions) &&
         std::equal(step.choosers, step.choosers + step.count, next_.choosers, same);
}

bool Steps::same_blocks(const Step& step) const {
  return std::equal(next_.blocks.begin(), next_.blocks.end(), step.blocks);
}

void Steps::fill(const Step& step) {
  Inputs& inputs = decoder_.inputs();
  std::copy_n(step.ids, step.count, inputs.ids);
  std::copy_n(step.blocks, static_cast<size_t>(step.count) * model_.table_width, inputs.tables());
  for (int i = 0; i < step.count; ++i) {
    inputs.places[i] = {step.positions[i], i};
    inputs.picks[i] = decoder_.pick(step.choosers[i], i);
    inputs.answers[i] = decoder_.choices().answer(step.choosers[i]);
  }
  inputs.turn = ++turn_;
  inputs.live = 1;
}

void Steps::launch(const Step& step, bool from_host) {
  if (from_host)
    decoder_.start(step.count);
  else
    decoder_.go_on(step.count);
  const size_t vocab = model_.config.language.vocab;
  for (int i = 0; i < step.count; ++i) {
    if (!by_caller(step.choosers[i])) continue;
    check(cudaMemcpyAsync(logits_host_.data() + i * vocab, decoder_.logits(i), vocab * sizeof(float), cudaMemcpyDeviceToHost, stream_),
          "copy of logits");
  }
  const int at = (oldest_ + launched_) % kRing;
  check(cudaMemcpyAsync(&results_[at], decoder_.results(), sizeof(Results), cudaMemcpyDeviceToHost, stream_), "copy of choices");
  check(cudaEventRecord(done_[at], stream_), "decode");
  ++launched_;
}

/// The oldest step in the ring, which is the one asked for.
void Steps::collect(const Step& step) {
  check(cudaEventSynchronize(done_[oldest_]), "decode");
  const Results& results = results_[oldest_];
  oldest_ = (oldest_ + 1) % kRing;
  --launched_;
  const size_t vocab = model_.config.language.vocab;
  for (int i = 0; i < step.count; ++i) {
    if (by_caller(step.choosers[i]))
      std::copy_n(logits_host_.data() + i * vocab, vocab, step.logits + i * vocab);
    else
      step.chosen[i] = results.chosen[i];
  }
  expect_next(step, results);
}

void Steps::expect_next(const Step& step, const Results& results) {
  if (results.live == 0 || model_.probe.seen != nullptr) {
    forget();
    return;
  }
  next_.there = true;
  next_.count = step.count;
  next_.blocks.assign(step.blocks, step.blocks + static_cast<size_t>(step.count) * model_.table_width);
  for (int i = 0; i < step.count; ++i) {
    next_.ids[i] = results.chosen[i].id;
    next_.positions[i] = step.positions[i] + 1;
    next_.choosers[i] = step.choosers[i];
    if (step.choosers[i].constraint >= 0) next_.choosers[i].state = results.chosen[i].state;
    --next_.choosers[i].tokens_left;
  }
}

/// What was launched runs to its end, within one token where the device has not begun it, and nobody looks at it.
void Steps::forget() {
  static_cast<volatile int64_t&>(ended_[0]) = turn_;
  counts_.forgotten += launched_;
  oldest_ = (oldest_ + launched_) % kRing;
  launched_ = 0;
  next_.there = false;
}

}  // namespace mipha::cuda
