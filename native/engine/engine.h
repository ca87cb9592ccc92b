// One package on one backend with one worker thread. Jobs go in with callbacks, outcomes come back on the worker thread.
// Knows nothing of JavaScript: jobs are plain structs filled before and read after.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace mipha {

using Clock = std::chrono::steady_clock;

enum class Finish { kEos, kStop, kLength, kCancelled };

struct Sampling {
  float temperature = 0;  // 0: greedy
  float top_p = 1;
  uint64_t seed = 0;
};

struct JobOptions {
  int priority = 0;                                       // higher first
  Clock::time_point deadline = Clock::time_point::max();  // among equals, earliest first; past it the job ends as cancelled
};

struct LookJob {
  Image image;                  // borrowed until done
  std::vector<int32_t> prefix;  // ids before the image; the engine's shared prefix is reused where it matches
  JobOptions options;
};

struct LookOutcome {
  bool cancelled = false;
  int view = -1;
  int tokens = 0;  // rows of the view: prefix and image
  double queue_ms = 0, preprocess_ms = 0, vision_ms = 0, prefill_ms = 0;
};

/// A question on a view. Ids are everything after the view's own rows.
struct AskJob {
  int view = -1;  // −1: text only, after the shared prefix; not read when there is a conversation
  std::vector<int32_t> ids;
  int max_tokens = 128;
  std::vector<int32_t> stop_ids;  // end tokens; the constraint's end too
  Sampling sampling;
  std::shared_ptr<const Constraint> constraint;  // of checked() in constraint.h; may be null
  int conversation = -1;                         // ≥ 0: rows are kept there and the longest common prefix with the last ask is reused
  JobOptions options;
};

struct AskOutcome {
  Finish finish = Finish::kCancelled;
  std::vector<int32_t> ids;    // without the end token
  std::vector<float> margins;  // [ids, and one more when the end token was reached] per step: largest allowed logit minus the second largest; +inf
                               // when one token is allowed
  double probability = 1;      // product over the steps of the chosen group's share among the allowed tokens (constraint only)
  int state = -1;              // the constraint's state at the end
  int prompt_tokens = 0;       // rows that were prefilled for this job
  int reused_tokens = 0;       // rows found in the cache (view, prefix, conversation)
  double queue_ms = 0, prefill_ms = 0, decode_ms = 0;
};

struct EngineOptions {
  std::vector<int32_t> prefix;                   // computed once, shared by every view and question
  std::vector<std::vector<uint8_t>> vocabulary;  // bytes of each id; empty for ids that are never an answer (special, padding)
};

struct EngineStatus {
  std::string backend, detail;
  Memory memory;
  int views = 0, conversations = 0, queued = 0, active = 0;
};

/// Either a value or the error that took its place.
template <typename T>
struct Result {
  T value{};
  std::shared_ptr<const Error> error;
};

/// Makes the backend; called on the worker thread. What it throws is the error of the load.
using OpenBackend = std::function<std::unique_ptr<Backend>(const Progress&)>;

class Engine {
 public:
  using Id = uint64_t;

  /// Starts the worker thread and returns at once; `loaded` is called on it (error set: the thread has ended and only destruction is allowed).
  /// Stopped while loading, it fails with kDisposed at the next report of progress.
  static std::unique_ptr<Engine> start(OpenBackend open, EngineOptions options, Progress progress, std::function<void(Result<EngineStatus>)> loaded);

  /// stop(), then waits for the worker (at most one layer of work). Every pending callback has been called when this returns.
  virtual ~Engine() = default;

  /// Cancels everything and returns at once; `ended` is the last thing the worker thread does, with all memory of the backend freed.
  /// Only the first call counts.
  virtual void stop(std::function<void()> ended) = 0;

  // All of these may be called from any thread and return at once. `done` is called exactly once, on the worker thread, and must not throw.
  // Jobs handed in after stop() come back cancelled.

  /// kImage, kContextFull and kMemory are errors of this job alone.
  virtual Id look(LookJob job, std::function<void(Result<LookOutcome>)> done) = 0;

  /// on_token is called for each id as it is chosen (the end token excluded); it may be empty and must not throw.
  /// kOption: ids or stop ids out of range. kDisposed: an unknown view or conversation. kBusy: the conversation is still answering.
  /// kContextFull when view, ids and max_tokens exceed the context; kMemory when the cache cannot hold them and no running job will free rows.
  virtual Id ask(AskJob job, std::function<void(int32_t id)> on_token, std::function<void(Result<AskOutcome>)> done) = 0;

  /// From here to hand_over() the worker is told nothing: it would begin the first of several questions alone while the next is being made.
  /// stop() does not wait.
  virtual void gather() = 0;
  virtual void hand_over() = 0;

  /// Unknown and finished jobs are ignored.
  virtual void cancel(Id job) = 0;

  /// A kept fork of `view` for several turns (view −1: the shared prefix alone).
  virtual Id converse(int view, std::function<void(Result<int>)> done) = 0;

  // Jobs that were handed in before the release still get their answers. Unknown handles are ignored.
  virtual void release_view(int view) = 0;
  virtual void release_conversation(int conversation) = 0;

  virtual EngineStatus status() const = 0;
};

}  // namespace mipha
