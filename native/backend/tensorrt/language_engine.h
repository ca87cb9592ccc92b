// A run of layers of the language model as one engine: what it is bound to, and that it is what the package needs.
#pragma once

#include <memory>

#include "backend/tensorrt/cache.h"
#include "backend/tensorrt/library.h"
#include "model/config.h"

namespace mipha::tensorrt {

constexpr int kMostAnswers = 8;  // rows of logits of one run, as the profiles are built

/// One run over `rows` new rows behind the first `past` rows of the cache. Memory on the device.
struct LanguageRun {
  int rows = 0, past = 0;
  void* hidden_in = nullptr;                // f32 [rows, hidden]
  void *cosine = nullptr, *sine = nullptr;  // f32 [rows, rotary_dims / 2]
  void* mask = nullptr;                     // f32 [rows, past + rows]
  void* answered = nullptr;                 // i32 [answers], last engine only: rows that want logits
  int answers = 0;                          // 1..kMostAnswers
  void* out = nullptr;                      // f32 [rows, hidden], or [answers, vocab] of the last engine
};

class LanguageEngine {
 public:
  /// Throws kBackend when the plan does not fit the model.
  LanguageEngine(std::shared_ptr<const Engine> engine, const Config& config);

  const Engine& engine() const { return *engine_; }
  int first() const { return first_; }  // layers [first, end)
  int end() const { return end_; }
  bool last() const { return end_ == config_.layers; }
  int max_rows() const { return max_rows_; }      // new rows of one run
  int cache_rows() const { return cache_rows_; }  // past rows of one run

  /// Queued. Keys and values of the new rows go to rows [past, past + rows) of the cache. `past` is a multiple of cache.step().
  void run(const LanguageRun& run, const Cache& cache, const DeviceBuffer& scratch) const;

 private:
  const LanguageConfig config_;
  const std::shared_ptr<const Engine> engine_;
  int first_ = 0, end_ = 0, max_rows_ = 0, cache_rows_ = 0;
};

}  // namespace mipha::tensorrt
