// What the engine's thread does: keeps the queue, prefills, decodes a batch, and ends every job. Only that thread calls it, so nothing here is
// locked.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/job.h"

namespace mipha {

class Worker {
 public:
  /// `read_mail` is called before each layer of a prefill, so that cancellations and new jobs are seen while the backend works.
  Worker(EngineOptions options, std::function<void()> read_mail);

  /// Makes the backend and computes the shared prefix. Throws what goes wrong; kDisposed when `given_up` says so in between.
  void open(const OpenBackend& open, const Progress& progress, const Cancelled& given_up);
  /// Frees the backend and everything on it. All jobs have ended.
  void close();
  const Backend& backend() const { return *backend_; }

  // Mail. None of these touches the backend: they may come in the middle of its work.
  void accept(std::unique_ptr<Look> look);
  void accept(std::unique_ptr<Ask> ask);
  void accept(std::unique_ptr<Converse> converse);
  void cancel(Engine::Id job);
  void release_view(int view);
  void release_conversation(int conversation);
  /// Every job ends as cancelled, now and from now on.
  void stop();

  /// True when there is nothing to do until the next mail.
  bool idle() const;
  /// One round: give back, admit, prefill some rows, one decode step.
  void work();
  /// Ends every job with this error, now and from now on: for what no single job can be blamed for.
  void fail_all(std::shared_ptr<const Error> error);

  /// Jobs that have left the queue and not ended. May be read from any thread.
  int active() const { return active_count_.load(); }

 private:
  // Rows of prefill in one round, so that running answers go on in between. Few rows cost about as much as kLeastRows: reading the weights.
  static constexpr int kPrefillRows = 256;
  static constexpr int kLeastRows = 32;

  template <typename Kind>
  using Jobs = std::vector<std::unique_ptr<Kind>>;

  bool refused(Job& job) const;
  std::shared_ptr<View> view(int handle) const;
  template <typename Visit>
  void each_job(Visit&& visit);
  void sweep();
  Cancelled until_ended(const Job& job);

  void give_back();
  void admit();
  bool start(Look& look);
  bool start(Ask& ask);
  void start(Converse& converse);
  bool promise(int sequence, int64_t rows);
  Error cache_full(int sequence, int64_t rows) const;

  void prefill();
  std::vector<Ask*> asks_to_prefill() const;
  int append(Look& look, int limit);
  int append(const std::vector<Ask*>& asks, int limit);
  void finish(Look& look);
  void decode();
  template <typename Next>
  void advance(Ask& ask, const Next& next);
  bool someone_decodes() const;

  std::unique_ptr<Backend> backend_;
  const std::vector<int32_t> prefix_;
  const Vocabulary vocabulary_;
  ConstraintCache constraints_;
  CandidatesCache candidates_;
  const std::function<void()> read_mail_;
  bool stopping_ = false;
  std::shared_ptr<const Error> dead_;

  int base_ = -1;              // sequence of the shared prefix
  std::vector<float> logits_;  // [kMaxBatch, vocab]

  Jobs<Look> waiting_looks_;
  Jobs<Ask> waiting_asks_;
  Jobs<Converse> waiting_converses_;
  Jobs<Ask> active_;            // in order of admission, at most kMaxBatch
  std::unique_ptr<Look> look_;  // at most one: the backend keeps the features of one picture
  std::atomic<int> active_count_{0};

  std::map<int, std::shared_ptr<View>> views_;
  std::map<int, std::shared_ptr<Conversation>> conversations_;
  std::vector<std::shared_ptr<View>> retired_views_;  // released; their rows go when the last job lets go
  std::vector<std::shared_ptr<Conversation>> retired_conversations_;
  int next_handle_ = 0;
};

}  // namespace mipha
