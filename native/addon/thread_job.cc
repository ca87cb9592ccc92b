#include "addon/thread_job.h"

#include <utility>

#include "addon/errors.h"

namespace mipha {

ThreadJob::ThreadJob(Napi::Env env) : deferred_(env), error_(Napi::Persistent(Napi::Error::New(env, "").Value())) {}

Napi::Object ThreadJob::start(Napi::Env env, const char* name, Work work, Result result, const Napi::Value& on_progress, Failure failure) {
  std::unique_ptr<ThreadJob> made(new ThreadJob(env));
  ThreadJob* const job = made.get();
  job->result_ = std::move(result);
  job->failure_ = std::move(failure);
  job->queue_ = CompletionQueue::create(env, name);
  Progress progress = [](const std::string&, double) {};
  if (!on_progress.IsEmpty() && on_progress.IsFunction()) {
    job->on_progress_ = Napi::Persistent(on_progress.As<Napi::Function>());
    progress = [job, queue = job->queue_.get()](const std::string& what, double fraction) {
      queue->post([job, what, fraction](Napi::Env env) { job->on_progress_.Call({Napi::String::New(env, what), Napi::Number::New(env, fraction)}); });
    };
  }
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("done", job->deferred_.Promise());
  handle.Set("cancel", Napi::Function::New(
                           env, [cancelled = job->cancelled_](const Napi::CallbackInfo&) { *cancelled = true; }, "cancel"));

  job->queue_->hold(env);
  try {
    job->thread_ = std::thread([job, work = std::move(work), progress, queue = job->queue_.get()] {
      std::shared_ptr<const Error> error;
      try {
        work(progress, *job->cancelled_);
      } catch (...) {
        error = current_error();
      }
      queue->post([job, error](Napi::Env env) { job->settle(env, error); });
    });
  } catch (...) {  // the system gives no thread
    job->queue_->close();
    throw;
  }
  napi_add_env_cleanup_hook(env, end_with_environment, made.release());
  return handle;
}

void ThreadJob::settle(Napi::Env env, const std::shared_ptr<const Error>& error) {
  const std::unique_ptr<ThreadJob> self(this);
  napi_remove_env_cleanup_hook(env, end_with_environment, this);
  thread_.join();
  queue_->let_go(env);
  queue_->close();
  if (!error) return deferred_.Resolve(result_(env));
  const Napi::Object value = error_.Value();
  fill_error(value, *error);
  if (failure_) failure_(value, *error);
  deferred_.Reject(value);
}

void ThreadJob::end_with_environment(void* object) {
  const std::unique_ptr<ThreadJob> job(static_cast<ThreadJob*>(object));
  *job->cancelled_ = true;
  job->thread_.join();
  job->queue_->abandon();
}

}  // namespace mipha
