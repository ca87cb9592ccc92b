#include "engine/engine.h"

#include <condition_variable>
#include <iterator>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "engine/live_counts.h"
#include "engine/worker.h"

namespace mipha {
namespace {

/// The handles that callers hold. Kept beside the worker's own tables so that status() is exact right after a release.
class Handles {
 public:
  explicit Handles(std::atomic<int>& live) : live_(live) {}
  ~Handles() { live_ -= size(); }

  void add(int handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (open_.insert(handle).second) ++live_;
  }
  void remove(int handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (open_.erase(handle) > 0) --live_;
  }
  int size() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return static_cast<int>(open_.size());
  }

 private:
  std::atomic<int>& live_;
  mutable std::mutex mutex_;
  std::set<int> open_;
};

/// The mailbox between callers and the worker thread. What callers want is posted and runs on the thread, in order.
class ThreadedEngine : public Engine {
 public:
  ThreadedEngine(OpenBackend open, EngineOptions options, Progress progress, std::function<void(Result<EngineStatus>)> loaded)
      : worker_(std::move(options), [this] { read_mail(); }), open_(std::move(open)), progress_(std::move(progress)), loaded_(std::move(loaded)) {
    ++live_counts().engines;
    thread_ = std::thread([this] { run(); });
  }

  ~ThreadedEngine() override {
    hand_over();
    stop({});
    thread_.join();
    --live_counts().engines;
  }

  void stop(std::function<void()> ended) override {
    // The mail goes in under the same lock: a thread that sees the flag also finds the mail.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
    ended_ = std::move(ended);
    mail_.push_back([this] { worker_.stop(); });
    has_mail_ = true;
    wake_.notify_one();
  }

  Id look(LookJob job, std::function<void(Result<LookOutcome>)> done) override {
    auto look = std::make_unique<Look>();
    look->options = job.options;
    look->in = std::move(job);
    look->done = [this, done = std::move(done)](Result<LookOutcome> result) {
      if (result.value.view >= 0) views_.add(result.value.view);
      settle(done, std::move(result));
    };
    return submit(std::move(look));
  }

  Id ask(AskJob job, std::function<void(int32_t id)> on_token, std::function<void(Result<AskOutcome>)> done) override {
    auto ask = std::make_unique<Ask>();
    ask->options = job.options;
    ask->in = std::move(job);
    ask->on_token = std::move(on_token);
    ask->done = [this, done = std::move(done)](Result<AskOutcome> result) { settle(done, std::move(result)); };
    return submit(std::move(ask));
  }

  Id converse(int view, std::function<void(Result<int>)> done) override {
    auto converse = std::make_unique<Converse>();
    converse->of_view = view;
    converse->done = [this, done = std::move(done)](Result<int> result) {
      if (!result.error) conversations_.add(result.value);
      settle(done, std::move(result));
    };
    return submit(std::move(converse));
  }

  void gather() override {
    const std::lock_guard<std::mutex> lock(mutex_);
    gathering_ = true;
  }

  void hand_over() override {
    std::vector<Mail> gathered;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      gathering_ = false;
      gathered.swap(gathered_);
      if (gathered.empty()) return;
      if (!closed_) {
        std::move(gathered.begin(), gathered.end(), std::back_inserter(mail_));
        has_mail_ = true;
        wake_.notify_one();
        return;
      }
    }
    const std::lock_guard<std::mutex> lock(after_end_);
    for (const Mail& item : gathered) item();
  }

  void cancel(Id job) override {
    post([this, job] { worker_.cancel(job); });
  }

  void release_view(int view) override {
    views_.remove(view);
    post([this, view] { worker_.release_view(view); });
  }

  void release_conversation(int conversation) override {
    conversations_.remove(conversation);
    post([this, conversation] { worker_.release_conversation(conversation); });
  }

  EngineStatus status() const override {
    EngineStatus status;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      status = loaded_status_;
    }
    status.views = views_.size();
    status.conversations = conversations_.size();
    status.active = worker_.active();
    status.queued = std::max(0, jobs_.load() - status.active);
    return status;
  }

 private:
  using Mail = std::function<void()>;

  template <typename Kind>
  Id submit(std::unique_ptr<Kind> job) {
    const Id id = ++last_id_;
    job->id = id;
    ++jobs_;
    ++live_counts().jobs;
    // std::function wants to be copyable; the job is handed over by the one call.
    post([this, slot = std::make_shared<std::unique_ptr<Kind>>(std::move(job))] { worker_.accept(std::move(*slot)); });
    return id;
  }

  template <typename Outcome>
  void settle(const std::function<void(Result<Outcome>)>& done, Result<Outcome> result) {
    --jobs_;
    --live_counts().jobs;
    done(std::move(result));
  }

  void post(Mail mail) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (gathering_) {
        gathered_.push_back(std::move(mail));
        return;
      }
      if (!closed_) {
        mail_.push_back(std::move(mail));
        has_mail_ = true;
        wake_.notify_one();
        return;
      }
    }
    // The thread is past its last look at the mail; the stopped worker ends what it is given and touches nothing else.
    const std::lock_guard<std::mutex> lock(after_end_);
    mail();
  }

  void read_mail() {
    if (!has_mail_) return;
    std::vector<Mail> mail;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      mail.swap(mail_);
      has_mail_ = false;
    }
    for (const Mail& item : mail) item();
  }

  void run() {
    load();
    bool running = true;
    while (running) {
      try {
        read_mail();
        if (worker_.idle())
          running = wait();
        else
          worker_.work();
      } catch (...) {
        worker_.fail_all(current_error());
      }
    }
    worker_.close();
    if (ended_) ended_();
  }

  void load() {
    Result<EngineStatus> result;
    try {
      const auto given_up = [this] { return stopping_.load(); };
      const Progress progress = [&](const char* stage, double fraction) {
        if (given_up()) throw Error(Code::kDisposed, "engine: disposed while loading");
        if (progress_) progress_(stage, fraction);
      };
      worker_.open(open_, progress, given_up);
      if (given_up()) throw Error(Code::kDisposed, "engine: disposed while loading");
      result.value.backend = worker_.backend().name();
      result.value.detail = worker_.backend().detail();
      result.value.memory = worker_.backend().memory();
      const std::lock_guard<std::mutex> lock(mutex_);
      loaded_status_ = result.value;
    } catch (...) {
      result.error = current_error();
      worker_.fail_all(result.error);
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    open_ = nullptr;  // it may hold the package, which the backend shares as long as it needs it
    loaded_(std::move(result));
  }

  /// Sleeps until there is mail. False when the thread shall end.
  bool wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [this] { return has_mail_ || stopping_; });
    if (has_mail_) return true;
    closed_ = true;
    return false;
  }

  Worker worker_;
  OpenBackend open_;
  Progress progress_;
  std::function<void(Result<EngineStatus>)> loaded_;
  std::function<void()> ended_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Mail> mail_;             // guarded by mutex_
  std::vector<Mail> gathered_;         // guarded by mutex_; not the worker's yet
  bool gathering_ = false;             // guarded by mutex_
  EngineStatus loaded_status_;         // guarded by mutex_
  bool closed_ = false;                // guarded by mutex_
  std::atomic<bool> stopping_{false};  // written under mutex_
  std::atomic<bool> has_mail_{false};  // written under mutex_
  std::mutex after_end_;

  std::atomic<Id> last_id_{0};
  std::atomic<int> jobs_{0};
  Handles views_{live_counts().views};
  Handles conversations_{live_counts().conversations};
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace

std::unique_ptr<Engine> Engine::start(OpenBackend open, EngineOptions options, Progress progress, std::function<void(Result<EngineStatus>)> loaded) {
  return std::make_unique<ThreadedEngine>(std::move(open), std::move(options), std::move(progress), std::move(loaded));
}

}  // namespace mipha
