#include "engine/worker.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

namespace mipha {
namespace {

void check_ids(const char* name, const std::vector<int32_t>& ids, int vocab) {
  for (int32_t id : ids) {
    if (id >= 0 && id < vocab) continue;
    throw Error(Code::kOption, std::string(name) + ": expected ids from 0 to " + std::to_string(vocab - 1) + ", received " + std::to_string(id));
  }
}

Error unknown_handle(const char* kind, int handle) {
  return Error(Code::kDisposed, std::string(kind) + " " + std::to_string(handle) + ": disposed, or of another engine");
}

}  // namespace

Worker::Worker(EngineOptions options, std::function<void()> read_mail)
    : prefix_(std::move(options.prefix)),
      vocabulary_(std::move(options.vocabulary)),
      constraints_(vocabulary_),
      candidates_(vocabulary_),
      read_mail_(std::move(read_mail)) {}

void Worker::open(const OpenBackend& open, const Progress& progress, const Cancelled& given_up) {
  backend_ = open(progress);
  const LanguageConfig& language = backend_->config().language;
  if (vocabulary_.size() > language.vocab) {
    throw Error(Code::kOption,
                "vocabulary: expected at most " + std::to_string(language.vocab) + " ids, received " + std::to_string(vocabulary_.size()));
  }
  check_ids("prefix", prefix_, language.vocab);
  backend_->set_vocabulary(vocabulary_.bytes(), vocabulary_.sorted());
  logits_.resize(static_cast<size_t>(Backend::kMaxBatch) * language.vocab);
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
    if (!ask->ended) continue;
    if (ask->conversation)
      backend_->reserve(ask->sequence, 0);
    else
      backend_->release(ask->sequence);
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

bool Worker::someone_decodes() const {
  return std::any_of(active_.begin(), active_.end(), [](const auto& ask) { return !ask->ended && ask->decoding(); });
}

/// Questions that are still to be prefilled: the first, and those behind it that have its priority.
std::vector<Ask*> Worker::asks_to_prefill() const {
  std::vector<Ask*> asks;
  for (const auto& ask : active_) {
    if (!ask->ended && !ask->decoding()) asks.push_back(ask.get());
  }
  std::sort(asks.begin(), asks.end(), [](const Ask* a, const Ask* b) { return goes_before(*a, *b); });
  const auto other = std::find_if(asks.begin(), asks.end(), [&](const Ask* ask) { return ask->options.priority != asks.front()->options.priority; });
  asks.erase(other, asks.end());
  return asks;
}

void Worker::prefill() {
  for (int budget = kPrefillRows; budget > 0;) {
    std::vector<Ask*> asks = asks_to_prefill();
    const bool look_next = look_ && !look_->ended && (asks.empty() || goes_before(*look_, *asks.front()));
    if (!look_next && asks.empty()) return;
    // With nobody to keep waiting a prefill goes in one piece: all its rows share one read of the weights.
    const int limit = someone_decodes() ? budget : std::numeric_limits<int>::max();
    try {
      budget -= std::max(look_next ? append(*look_, limit) : append(asks, limit), kLeastRows);
    } catch (...) {
      const std::shared_ptr<const Error> error = current_error();
      if (error->code == Code::kDevice) throw;  // nobody will be served any more
      if (look_next)
        look_->fail(error);
      else
        for (Ask* ask : asks) ask->fail(error);
    }
  }
}

/// The tower first, in a round of its own, then the rows of prefix and image. Returns what it cost in rows.
int Worker::append(Look& look, int limit) {
  const Clock::time_point start = Clock::now();
  const int image_tokens = backend_->config().image_tokens();
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

/// Questions together: the weights are read once for all of them. At most `limit` rows; returns how many.
int Worker::append(const std::vector<Ask*>& asks, int limit) {
  std::vector<Extension> extensions;
  int rows = 0;
  for (const Ask* ask : asks) {
    const int count = std::min(limit - rows, static_cast<int>(ask->in.ids.size() - ask->fed));
    if (count == 0) break;
    extensions.push_back({ask->sequence, {{ask->in.ids.data() + ask->fed, count}}});
    rows += count;
  }
  const size_t vocab = backend_->config().language.vocab;
  const Cancelled all_ended = [&] {
    read_mail_();
    sweep();
    return std::all_of(asks.begin(), asks.begin() + static_cast<std::ptrdiff_t>(extensions.size()), [](const Ask* ask) { return ask->ended; });
  };
  if (!backend_->append(extensions, logits_.data(), all_ended)) return 0;
  for (size_t i = 0; i < extensions.size(); ++i) {
    Ask& ask = *asks[i];
    const Piece& fed = extensions[i].pieces.front();
    ask.fed += static_cast<size_t>(fed.count);
    ask.outcome.prompt_tokens += fed.count;
    if (ask.conversation) ask.conversation->ids.insert(ask.conversation->ids.end(), fed.ids, fed.ids + fed.count);
    if (ask.ended || ask.fed < ask.in.ids.size()) continue;
    ask.first_logits = Clock::now();
    advance<const float*>(ask, logits_.data() + i * vocab);
  }
  return rows;
}

void Worker::decode() {
  std::vector<Ask*> batch;
  for (const auto& ask : active_) {
    if (!ask->ended && ask->decoding()) batch.push_back(ask.get());
  }
  if (batch.empty()) return;
  int sequences[Backend::kMaxBatch];
  int32_t ids[Backend::kMaxBatch];
  Chooser choosers[Backend::kMaxBatch];
  Choice choices[Backend::kMaxBatch];
  for (size_t i = 0; i < batch.size(); ++i) {
    sequences[i] = batch[i]->sequence;
    ids[i] = batch[i]->outcome.ids.back();
    choosers[i] = batch[i]->generation->chooser();
  }
  try {
    backend_->decode(sequences, ids, choosers, static_cast<int>(batch.size()), logits_.data(), choices);
  } catch (...) {
    const std::shared_ptr<const Error> error = current_error();
    if (error->code == Code::kDevice) throw;
    for (Ask* ask : batch) ask->fail(error);
    return;
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i]->conversation) batch[i]->conversation->ids.push_back(ids[i]);
    if (choices[i].id == Choice::kByCaller)
      advance<const float*>(*batch[i], logits_.data() + i * static_cast<size_t>(backend_->config().language.vocab));
    else
      advance(*batch[i], choices[i]);
  }
}

template <typename Next>
void Worker::advance(Ask& ask, const Next& next) {
  try {
    if (const std::optional<Finish> finish = ask.generation->advance(next, ask.on_token)) ask.finish_as(*finish);
  } catch (...) {
    ask.fail(current_error());
  }
}

}  // namespace mipha
