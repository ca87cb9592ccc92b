// Who may start: the place in the queue, the rows that a job needs in the cache, and what it can reuse.
#include <algorithm>
#include <string>
#include <utility>

#include "engine/worker.h"

namespace mipha {
namespace {

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

Error context_full(int64_t needed, int64_t available) {
  return Error(Code::kContextFull, "context: needed " + std::to_string(needed) + " tokens, available " + std::to_string(available),
               {{"neededTokens", static_cast<double>(needed)}, {"availableTokens", static_cast<double>(available)}});
}

/// The job that goes before all others of its kind; null when there is none.
template <typename Kind>
Kind* first_of(const std::vector<std::unique_ptr<Kind>>& jobs) {
  Kind* first = nullptr;
  for (const auto& job : jobs) {
    if (!job->ended && (first == nullptr || goes_before(*job, *first))) first = job.get();
  }
  return first;
}

template <typename Kind>
std::unique_ptr<Kind> take(std::vector<std::unique_ptr<Kind>>& jobs, const Kind* job) {
  const auto at = std::find_if(jobs.begin(), jobs.end(), [&](const auto& other) { return other.get() == job; });
  std::unique_ptr<Kind> taken = std::move(*at);
  jobs.erase(at);
  return taken;
}

}  // namespace

void Worker::admit() {
  for (const auto& converse : waiting_converses_) start(*converse);
  while (true) {
    Look* look = look_ ? nullptr : first_of(waiting_looks_);
    Ask* ask = active_.size() < Backend::kMaxBatch ? first_of(waiting_asks_) : nullptr;
    if (look == nullptr && ask == nullptr) break;
    const bool is_look = ask == nullptr || (look != nullptr && goes_before(*look, *ask));
    Job& job = is_look ? static_cast<Job&>(*look) : *ask;
    try {
      // Who waits for rows of the cache keeps its place: nobody overtakes it.
      if (!(is_look ? start(*look) : start(*ask))) break;
    } catch (...) {
      job.fail(current_error());
      continue;
    }
    job.started = Clock::now();
    job.active = &active_count_;
    ++active_count_;
    if (is_look)
      look_ = take(waiting_looks_, look);
    else
      active_.push_back(take(waiting_asks_, ask));
  }
  drop_ended(waiting_looks_);
  drop_ended(waiting_asks_);
  drop_ended(waiting_converses_);
}

void Worker::start(Converse& converse) {
  if (converse.ended) return;
  try {
    auto conversation = std::make_shared<Conversation>();
    conversation->sequence = backend_->fork(converse.view ? converse.view->sequence : base_);
    conversation->fixed = converse.view ? converse.view->rows : 0;
    if (!converse.view) conversation->ids = prefix_;
    conversations_.emplace(next_handle_, std::move(conversation));
    converse.outcome = next_handle_++;
    converse.finish();
  } catch (...) {
    converse.fail(current_error());
  }
}

/// False: it has to wait for rows that running jobs will free.
bool Worker::start(Look& look) {
  const int image_tokens = backend_->config().image_tokens(), context = backend_->config().language.context;
  const size_t common = common_prefix(prefix_, look.in.prefix);
  const int64_t total = static_cast<int64_t>(look.in.prefix.size()) + image_tokens;
  if (total > context) throw context_full(total, context);

  const int sequence = backend_->fork(base_);
  backend_->truncate(sequence, static_cast<int>(common));
  if (const int64_t rows = total - static_cast<int64_t>(common); !promise(sequence, rows)) {
    const Error refusal = cache_full(sequence, rows);
    backend_->release(sequence);
    if (active_.empty()) throw refusal;
    return false;
  }
  look.sequence = sequence;
  look.prefix_fed = common;
  look.outcome.tokens = static_cast<int>(total);
  return true;
}

/// False: it has to wait for rows that running jobs will free.
bool Worker::start(Ask& ask) {
  const int context = backend_->config().language.context;
  const int fixed = ask.conversation ? ask.conversation->fixed : ask.view ? ask.view->rows : 0;
  size_t common = 0;
  if (ask.conversation)
    common = common_prefix(ask.conversation->ids, ask.in.ids);
  else if (!ask.view)
    common = common_prefix(prefix_, ask.in.ids);
  common = std::min(common, ask.in.ids.size() - 1);  // the last id is always fed: its logits choose the first token

  const int64_t total = static_cast<int64_t>(ask.in.ids.size()) + ask.in.max_tokens - 1;
  if (fixed + total > context) throw context_full(total, context - fixed);
  ask.generation.emplace(ask.in, candidates_.find(ask.in.stop_ids), ask.in.constraint ? constraints_.find(ask.in.constraint) : nullptr, ask.outcome);

  if (ask.conversation) {
    ask.sequence = ask.conversation->sequence;
    ask.conversation->ids.resize(common);
  } else {
    ask.sequence = backend_->fork(ask.view ? ask.view->sequence : base_);
  }
  backend_->truncate(ask.sequence, fixed + static_cast<int>(common));
  if (const int64_t rows = total - static_cast<int64_t>(common); !promise(ask.sequence, rows)) {
    const Error refusal = cache_full(ask.sequence, rows);
    if (!ask.conversation) backend_->release(ask.sequence);
    if (active_.empty() && !look_) throw refusal;
    return false;
  }
  ask.fed = common;
  ask.outcome.reused_tokens = fixed + static_cast<int>(common);
  return true;
}

/// Every row a job may come to need is set aside before it starts, so that none ever fails half way for the sake of another.
bool Worker::promise(int sequence, int64_t rows) {
  return rows <= backend_->config().language.context && backend_->reserve(sequence, static_cast<int>(rows));
}

Error Worker::cache_full(int sequence, int64_t rows) const {
  const LanguageConfig& language = backend_->config().language;
  const double row_bytes = 2.0 * 2.0 * language.layers * language.kv_width();  // key and value, two bytes each
  const int available = backend_->room(sequence);
  return Error(Code::kMemory,
               "key/value cache: needed " + std::to_string(rows) + " rows, free " + std::to_string(available) +
                   "; dispose views that are no longer needed or raise cacheTokens",
               {{"neededBytes", static_cast<double>(rows) * row_bytes},
                {"availableBytes", available * row_bytes},
                {"neededTokens", static_cast<double>(rows)},
                {"availableTokens", static_cast<double>(available)}});
}

}  // namespace mipha
