#include "backend/tensorrt/language_engine.h"

#include <string>
#include <utility>
#include <vector>

#include "core/error.h"

namespace mipha::tensorrt {
namespace {

constexpr int kDecodeRows = 8;  // profile 1 is built for so many new rows at most

std::string of_layer(const char* tensor, int layer) {
  return std::string(tensor) + "." + std::to_string(layer);
}

}  // namespace

LanguageEngine::LanguageEngine(std::shared_ptr<const Engine> engine, const Config& config) : config_(config.language), engine_(std::move(engine)) {
  const auto refuse = [&](const std::string& why) {
    throw Error(Code::kBackend, "TensorRT: engine " + engine_->name() + ": " + why + "; build it again: mipha build");
  };
  const auto width = [&](const std::string& tensor, const std::vector<int64_t>& sizes) {  // all but the first size
    const mipha_trt_tensor* found = engine_->find(tensor);
    if (found == nullptr) refuse("expected a tensor " + tensor);
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (found->dims != static_cast<int32_t>(sizes.size()) + 1 || found->most[i + 1] != sizes[i]) refuse(tensor + " has another shape");
    }
    return static_cast<int>(found->most[0]);
  };
  while (first_ < config_.layers && engine_->find(of_layer("past_keys", first_)) == nullptr) ++first_;
  for (end_ = first_; end_ < config_.layers && engine_->find(of_layer("past_keys", end_)) != nullptr;) ++end_;
  if (first_ == end_) refuse("expected layers of the language model");
  if (engine_->profiles() != 2) refuse("expected 2 profiles, received " + std::to_string(engine_->profiles()));
  max_rows_ = width("hidden_in", {config_.hidden});
  for (int layer = first_; layer < end_; ++layer) {
    for (const char* name : {"past_keys", "past_values"}) cache_rows_ = width(of_layer(name, layer), {config_.kv_heads, config_.head_size});
    for (const char* name : {"new_keys", "new_values"}) width(of_layer(name, layer), {config_.kv_heads, config_.head_size});
  }
  width(last() ? "logits" : "hidden_out", {last() ? config_.vocab : config_.hidden});
}

void LanguageEngine::run(const LanguageRun& run, const Cache& cache, const DeviceBuffer& scratch) const {
  const int profile = run.rows > kDecodeRows ? 0 : 1;
  const int64_t rows = run.rows, past = run.past, heads = config_.kv_heads, head = config_.head_size;
  engine_->bind_input(profile, "hidden_in", {rows, config_.hidden}, run.hidden_in);
  if (config_.rotary_dims > 0) {
    engine_->bind_input(profile, "cosine", {rows, config_.rotary_dims / 2}, run.cosine);
    engine_->bind_input(profile, "sine", {rows, config_.rotary_dims / 2}, run.sine);
  }
  engine_->bind_input(profile, "mask", {rows, past + rows}, run.mask);
  for (int layer = first_; layer < end_; ++layer) {
    // No past has no address: the first row of the cache is where the new one goes, and two tensors may not share one.
    engine_->bind_input(profile, of_layer("past_keys", layer), {past, heads, head}, past > 0 ? cache.keys(layer, 0) : nullptr);
    engine_->bind_input(profile, of_layer("past_values", layer), {past, heads, head}, past > 0 ? cache.values(layer, 0) : nullptr);
    engine_->bind_output(profile, of_layer("new_keys", layer), cache.keys(layer, run.past));
    engine_->bind_output(profile, of_layer("new_values", layer), cache.values(layer, run.past));
  }
  if (last()) {
    engine_->bind_input(profile, "rows", {run.answers}, run.answered);
    engine_->bind_output(profile, "logits", run.out);
  } else {
    engine_->bind_output(profile, "hidden_out", run.out);
  }
  engine_->run(profile, scratch);
}

}  // namespace mipha::tensorrt
