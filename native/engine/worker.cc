#include "engine/worker.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace mipha {
namespace {

size_t common_prefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

void check_ids(const char* name, const std::vector<int32_t>& ids, int vocab) {
  for (int32_t id : ids) {
    if (id >= 0 && id < vocab) continue;
    throw Error(Code::kOption, std::string(name) + ": expected ids from 0 to " + std::to_string(vocab - 1) + ", received " + std::to_string(id));
  }
}

Error unknown_handle(const char* kind, int handle) {
  return Error(Code::kDisposed, std::string(kind) + " " + std::to_string(handle) + ": disposed, or of another engine");
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

template <typename Kind>
void drop_ended(std::vector<std::unique_ptr<Kind>>& jobs) {
  jobs.erase(std::remove_if(jobs.begin(), jobs.end(), [](const auto& job) { return job->ended; }), jobs.end());
}

}  // namespace

Worker::Worker(EngineOptions options, std::function<void()> read_mail)
    : prefix_(std::move(options.prefix)), vocabulary_(std::move(options.vocabulary)), constraints_(vocabulary_), read_mail_(std::move(read_mail)) {}

void Worker::open(const OpenBackend& open, const Progress& progress, const Cancelled& given_up) {
  backend_ = open(progress);
  const LanguageConfig& language = backend_->config().language;
  if (vocabulary_.size() > language.vocab) {
    throw Error(Code::kOption,
                "vocabulary: expected at most " + std::to_string(language.vocab) + " ids, received " + std::to_string(vocabulary_.size()));
  }
  check_ids("prefix", prefix_, language.vocab);
  logits_.resize(static_cast<size_t>(Backend::kMaxBatch) * language.vocab);
  empty_ = backend_->sequence();
  base_ = backend_->sequence();
  progress("prefix", 0);
  if (!prefix_.empty() && !backend_->append(base_, {{prefix_.data(), static_cast<int>(prefix_.size())}}, nullptr, given_up)) {
    throw Error(Code::kDisposed, "engine: disposed while loading");
  }
  progress("prefix", 1);
}

void Worker::close() {
  backend_.reset();
}

// ---- mail

bool Worker::refused(Job& job) const {
  if (dead_)
    job.fail(dead_);
  else if (stopping_)
    job.cancel();
  return job.ended;
}

std::shared_ptr<View> Worker::view(int handle) const {
  const auto known = views_.find(handle);
  if (known == views_.end()) throw unknown_handle("view", handle);
  return known->second;
}

void Worker::accept(std::unique_ptr<Look> look) {
  if (refused(*look)) return;
  try {
    check_ids("prefix", look->in.prefix, backend_->config().language.vocab);
    check(look->in.image);
    waiting_looks_.push_back(std::move(look));
  } catch (...) {
    look->fail(current_error());
  }
}

void Worker::accept(std::unique_ptr<Ask> ask) {
  if (refused(*ask)) return;
  try {
    const AskJob& in = ask->in;
    const int vocab = backend_->config().language.vocab;
    if (in.ids.empty()) throw Error(Code::kOption, "ids: expected at least one");
    if (in.max_tokens < 1) throw Error(Code::kOption, "maxTokens: expected at least 1, received " + std::to_string(in.max_tokens));
    check_ids("ids", in.ids, vocab);
    check_ids("stopIds", in.stop_ids, vocab);
    if (in.constraint) check(*in.constraint);
    if (in.conversation >= 0) {
      const auto known = conversations_.find(in.conversation);
      if (known == conversations_.end()) throw unknown_handle("conversation", in.conversation);
      if (known->second->busy) throw Error(Code::kBusy, "conversation " + std::to_string(in.conversation) + ": still answering the question before");
      ask->conversation = known->second;
      ask->conversation->busy = true;
    } else if (in.view >= 0) {
      ask->view = view(in.view);
    }
    waiting_asks_.push_back(std::move(ask));
  } catch (...) {
    ask->fail(current_error());
  }
}

void Worker::accept(std::unique_ptr<Converse> converse) {
  if (refused(*converse)) return;
  try {
    if (converse->of_view >= 0) converse->view = view(converse->of_view);
    waiting_converses_.push_back(std::move(converse));
  } catch (...) {
    converse->fail(current_error());
  }
}

template <typename Visit>
void Worker::each_job(Visit&& visit) {
  for (const auto& job : waiting_looks_) visit(*job);
  for (const auto& job : waiting_asks_) visit(*job);
  for (const auto& job : waiting_converses_) visit(*job);
  for (const auto& job : active_) visit(*job);
  if (look_) visit(*look_);
}

void Worker::cancel(Engine::Id id) {
  each_job([&](Job& job) {
    if (job.id == id && !job.ended) job.cancel();
  });
}

void Worker::release_view(int handle) {
  const auto known = views_.find(handle);
  if (known == views_.end()) return;
  retired_views_.push_back(std::move(known->second));
  views_.erase(known);
}

void Worker::release_conversation(int handle) {
  const auto known = conversations_.find(handle);
  if (known == conversations_.end()) return;
  retired_conversations_.push_back(std::move(known->second));
  conversations_.erase(known);
}

void Worker::stop() {
  stopping_ = true;
  each_job([](Job& job) {
    if (!job.ended) job.cancel();
  });
}

void Worker::fail_all(std::shared_ptr<const Error> error) {
  dead_ = std::move(error);
  each_job([&](Job& job) {
    if (!job.ended) job.fail(dead_);
  });
  waiting_looks_.clear();
  waiting_asks_.clear();
  waiting_converses_.clear();
  active_.clear();
  look_.reset();
  retired_views_.clear();
  retired_conversations_.clear();
}

// ---- one round

bool Worker::idle() const {
  return waiting_looks_.empty() && waiting_asks_.empty() && waiting_converses_.empty() && active_.empty() && !look_ && retired_views_.empty() &&
         retired_conversations_.empty();
}

void Worker::work() {
  sweep();
  give_back();
  admit();
  prefill();
  sweep();
  decode();
  give_back();
}

/// Ends the jobs whose deadline has passed, wherever they are.
void Worker::sweep() {
  const Clock::time_point now = Clock::now();
  each_job([&](Job& job) {
    if (!job.ended && now >= job.options.deadline) job.cancel();
  });
}

/// What the backend asks before each layer: it also lets mail in and deadlines pass for everyone else.
Cancelled Worker::until_ended(const Job& job) {
  return [this, &job] {
    read_mail_();
    sweep();
    return job.ended;
  };
}

void Worker::give_back() {
  for (const auto& ask : active_) {
    if (ask->ended && !ask->conversation) backend_->release(ask->sequence);
  }
  drop_ended(active_);
  drop_ended(waiting_asks_);
  drop_ended(waiting_looks_);
  drop_ended(waiting_converses_);
  if (look_ && look_->ended) {
    if (look_->sequence >= 0) backend_->release(look_->sequence);
    look_.reset();
  }
  const auto release_unused = [&](auto& retired) {
    const auto unused = std::partition(retired.begin(), retired.end(), [](const auto& one) { return one.use_count() > 1; });
    for (auto one = unused; one != retired.end(); ++one) backend_->release((*one)->sequence);
    retired.erase(unused, retired.end());
  };
  release_unused(retired_views_);
  release_unused(retired_conversations_);
}

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
  const int image_tokens = backend_->config().vision.tokens(), context = backend_->config().language.context;
  const size_t common = common_prefix(prefix_, look.in.prefix);
  const int64_t total = static_cast<int64_t>(look.in.prefix.size()) + image_tokens;
  if (total > context) throw context_full(total, context);

  const int sequence = backend_->fork(base_);
  backend_->truncate(sequence, static_cast<int>(common));
  if (const int64_t rows = total - static_cast<int64_t>(common); !fits(sequence, rows)) {
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
  ask.generation.emplace(ask.in, vocabulary_, ask.in.constraint ? constraints_.find(ask.in.constraint) : nullptr, ask.outcome);

  if (ask.conversation) {
    ask.sequence = ask.conversation->sequence;
    ask.conversation->ids.resize(common);
  } else {
    ask.sequence = backend_->fork(ask.view ? ask.view->sequence : base_);
  }
  backend_->truncate(ask.sequence, fixed + static_cast<int>(common));
  if (const int64_t rows = total - static_cast<int64_t>(common); !fits(ask.sequence, rows)) {
    const Error refusal = cache_full(ask.sequence, rows);
    if (!ask.conversation) backend_->release(ask.sequence);
    if (active_.empty() && !look_) throw refusal;
    return false;
  }
  ask.fed = common;
  ask.outcome.reused_tokens = fixed + static_cast<int>(common);
  return true;
}

/// Whether `rows` more can be promised to a sequence beside what running jobs were promised. room() is also bounded by the context, so as long as
/// a whole context is free the promises are not counted: decode() and prefill() cope when they turn out to have been too many.
bool Worker::fits(int sequence, int64_t rows) const {
  if (rows > backend_->room(sequence)) return false;
  const int free = backend_->room(empty_);
  if (free == backend_->config().language.context) return true;
  int64_t promised = rows;
  for (const auto& ask : active_) {
    if (!ask->ended) promised += ask->rows_left();
  }
  if (look_ && !look_->ended) promised += look_->rows_left(backend_->config().vision.tokens());
  return promised <= std::max(free, backend_->room(sequence));
}

Error Worker::cache_full(int sequence, int64_t rows) const {
  const LanguageConfig& language = backend_->config().language;
  const double row_bytes = 2.0 * 2.0 * language.layers * language.hidden;  // key and value, two bytes each
  const int available = backend_->room(sequence);
  return Error(Code::kMemory,
               "key/value cache: needed " + std::to_string(rows) + " rows, free " + std::to_string(available) +
                   "; dispose views that are no longer needed or raise cacheTokens",
               {{"neededBytes", static_cast<double>(rows) * row_bytes},
                {"availableBytes", available * row_bytes},
                {"neededTokens", static_cast<double>(rows)},
                {"availableTokens", static_cast<double>(available)}});
}

bool Worker::someone_decodes() const {
  return std::any_of(active_.begin(), active_.end(), [](const auto& ask) { return !ask->ended && ask->decoding(); });
}

Job* Worker::next_to_prefill() const {
  Job* next = look_ && !look_->ended ? look_.get() : nullptr;
  for (const auto& ask : active_) {
    if (!ask->ended && !ask->decoding() && (next == nullptr || goes_before(*ask, *next))) next = ask.get();
  }
  return next;
}

void Worker::prefill() {
  for (int budget = kPrefillRows; budget > 0;) {
    Job* job = next_to_prefill();
    if (job == nullptr) return;
    // With nobody to keep waiting a prefill goes in one piece: all its rows share one read of the weights.
    const int limit = someone_decodes() ? budget : std::numeric_limits<int>::max();
    try {
      const int rows = job == look_.get() ? append(*look_, limit) : append(static_cast<Ask&>(*job), limit);
      budget -= std::max(rows, kLeastRows);
    } catch (const Error& error) {
      if (error.code == Code::kMemory && someone_decodes()) return;  // it goes on when one of them has freed its rows
      job->fail(current_error());
    } catch (...) {
      job->fail(current_error());
    }
  }
}

/// The tower first, in a round of its own, then the rows of prefix and image. Returns what it cost in rows.
int Worker::append(Look& look, int limit) {
  const Clock::time_point start = Clock::now();
  const int image_tokens = backend_->config().vision.tokens();
  if (!look.encoded) {
    EncodeTimes times;
    look.encoded = backend_->encode(look.in.image, until_ended(look), &times);
    look.outcome.preprocess_ms = times.preprocess_ms;
    look.outcome.vision_ms = times.vision_ms;
    return kPrefillRows;
  }
  const int ids = std::min(limit, static_cast<int>(look.in.prefix.size() - look.prefix_fed));
  const int features = std::min(limit - ids, image_tokens - look.features_fed);
  std::vector<Piece> pieces;
  if (ids > 0) pieces.push_back({look.in.prefix.data() + look.prefix_fed, ids});
  if (features > 0) pieces.push_back({nullptr, features, look.features_fed});
  const bool appended = backend_->append(look.sequence, pieces, nullptr, until_ended(look));
  if (!appended || look.ended) return 0;
  look.prefix_fed += static_cast<size_t>(ids);
  look.features_fed += features;
  look.outcome.prefill_ms += ms_between(start, Clock::now());
  if (look.features_fed == image_tokens) finish(look);
  return ids + features;
}

void Worker::finish(Look& look) {
  views_.emplace(next_handle_, std::make_shared<View>(View{look.sequence, look.outcome.tokens}));
  look.sequence = -1;
  look.outcome.view = next_handle_++;
  look.outcome.queue_ms = look.queue_ms();
  look.finish();
}

int Worker::append(Ask& ask, int limit) {
  const int rows = std::min(limit, static_cast<int>(ask.in.ids.size() - ask.fed));
  const bool last = ask.fed + static_cast<size_t>(rows) == ask.in.ids.size();
  const int32_t* ids = ask.in.ids.data() + ask.fed;
  if (!backend_->append(ask.sequence, {{ids, rows}}, last ? logits_.data() : nullptr, until_ended(ask))) return 0;
  ask.fed += static_cast<size_t>(rows);
  ask.outcome.prompt_tokens += rows;
  if (ask.conversation) ask.conversation->ids.insert(ask.conversation->ids.end(), ids, ids + rows);
  if (last && !ask.ended) {
    ask.first_logits = Clock::now();
    advance(ask, logits_.data());
  }
  return rows;
}

void Worker::decode() {
  std::vector<Ask*> batch;
  for (const auto& ask : active_) {
    if (!ask->ended && ask->decoding()) batch.push_back(ask.get());
  }
  Ask* latest = nullptr;
  while (!batch.empty()) {
    int sequences[Backend::kMaxBatch];
    int32_t ids[Backend::kMaxBatch];
    for (size_t i = 0; i < batch.size(); ++i) {
      sequences[i] = batch[i]->sequence;
      ids[i] = batch[i]->outcome.ids.back();
    }
    try {
      backend_->step(sequences, ids, static_cast<int>(batch.size()), logits_.data());
    } catch (...) {
      const std::shared_ptr<const Error> error = current_error();
      if (error->code == Code::kMemory) {
        if (latest == nullptr) latest = batch.back();
        batch.pop_back();                        // the latest waits until the others have freed rows
        if (batch.empty()) latest->fail(error);  // not even the first can go on: the latest makes room
        continue;
      }
      for (Ask* ask : batch) ask->fail(error);
      return;
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      if (batch[i]->conversation) batch[i]->conversation->ids.push_back(ids[i]);
      try {
        advance(*batch[i], logits_.data() + i * static_cast<size_t>(backend_->config().language.vocab));
      } catch (...) {
        batch[i]->fail(current_error());
      }
    }
    return;
  }
}

void Worker::advance(Ask& ask, const float* logits) {
  if (const std::optional<Finish> finish = ask.generation->advance(logits, ask.on_token)) ask.finish_as(*finish);
}

}  // namespace mipha
