// Jobs as the worker thread holds them: what was asked, how far it is, and the one callback it owes.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/generation.h"

namespace mipha {

inline double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// Rows of an image that questions fork from. Jobs hold it, so that they may outlive its release.
struct View {
  int sequence = -1;
  int rows = 0;
};

/// A kept fork: `fixed` rows of the view, then one row for each of `ids`.
struct Conversation {
  int sequence = -1;
  int fixed = 0;
  std::vector<int32_t> ids;
  bool busy = false;
};

struct Job {
  Engine::Id id = 0;
  JobOptions options;
  Clock::time_point queued = Clock::now();
  Clock::time_point started = Clock::time_point::max();
  bool ended = false;  // the callback has been called; rows are given back at the worker's next turn

  std::atomic<int>* active = nullptr;  // from admission on: the count of jobs under way, which it leaves when it ends

  virtual ~Job() = default;
  /// Ends with what there is so far.
  virtual void cancel() = 0;
  virtual void fail(std::shared_ptr<const Error> error) = 0;

  double queue_ms() const { return ms_between(queued, std::min(started, Clock::now())); }

 protected:
  void leave() {
    ended = true;
    if (active) --*active;
  }
};

/// Priority, then deadline, then order of arrival.
inline bool goes_before(const Job& a, const Job& b) {
  return std::make_tuple(-int64_t{a.options.priority}, a.options.deadline, a.id) <
         std::make_tuple(-int64_t{b.options.priority}, b.options.deadline, b.id);
}

template <typename Kind>
void drop_ended(std::vector<std::unique_ptr<Kind>>& jobs) {
  jobs.erase(std::remove_if(jobs.begin(), jobs.end(), [](const auto& job) { return job->ended; }), jobs.end());
}

template <typename Outcome>
struct JobWith : Job {
  Outcome outcome{};
  std::function<void(Result<Outcome>)> done;

  void finish() {
    leave();
    done({std::move(outcome), nullptr});
  }
  void fail(std::shared_ptr<const Error> error) override {
    leave();
    done({Outcome{}, std::move(error)});
  }
};

struct Look : JobWith<LookOutcome> {
  LookJob in;
  int sequence = -1;      // −1 until admitted, and again when the view has taken it over
  size_t prefix_fed = 0;  // ids of in.prefix that are in the cache
  bool encoded = false;
  int features_fed = 0;

  void cancel() override {
    outcome.cancelled = true;
    outcome.queue_ms = queue_ms();
    finish();
  }
};

struct Ask : JobWith<AskOutcome> {
  AskJob in;
  std::function<void(int32_t id)> on_token;
  std::shared_ptr<View> view;                  // null: text only, or in a conversation
  std::shared_ptr<Conversation> conversation;  // null: the rows are dropped at the end
  int sequence = -1;                           // −1 until admitted
  size_t fed = 0;                              // ids of in.ids that are in the cache
  std::optional<Generation> generation;        // from admission on
  Clock::time_point first_logits = Clock::time_point::max();

  bool decoding() const { return first_logits != Clock::time_point::max(); }

  void finish_as(Finish finish_reason) {
    const Clock::time_point now = Clock::now();
    outcome.finish = finish_reason;
    outcome.queue_ms = queue_ms();
    if (started < now) outcome.prefill_ms = ms_between(started, std::min(first_logits, now));
    if (first_logits < now) outcome.decode_ms = ms_between(first_logits, now);
    free_conversation();
    finish();
  }
  void cancel() override { finish_as(Finish::kCancelled); }
  void fail(std::shared_ptr<const Error> error) override {
    free_conversation();
    JobWith::fail(std::move(error));
  }

 private:
  void free_conversation() {
    if (conversation) conversation->busy = false;
  }
};

struct Converse : JobWith<int> {
  int of_view = -1;
  std::shared_ptr<View> view;  // null: text only

  void cancel() override { fail(std::make_shared<const Error>(Code::kDisposed, "engine: disposed before the conversation began")); }
};

}  // namespace mipha
