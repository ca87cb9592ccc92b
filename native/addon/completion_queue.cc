#include "addon/completion_queue.h"

#include <utility>

#include "core/error.h"

namespace mipha {

std::shared_ptr<CompletionQueue> CompletionQueue::create(Napi::Env env, const char* name) {
  std::shared_ptr<CompletionQueue> queue(new CompletionQueue);
  auto context = std::make_unique<std::shared_ptr<CompletionQueue>>(queue);  // lives until the function is finalized
  const napi_finalize finalize = [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<CompletionQueue>*>(data); };
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, name), 0, 1, context.get(), finalize,
                                                             context.get(), run, &queue->function_);
  if (status != napi_ok) throw Error(Code::kInternal, "the environment gave no thread-safe function");
  context.release();
  napi_unref_threadsafe_function(env, queue->function_);
  return queue;
}

void CompletionQueue::post(Event event) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(std::move(event));
    if (signalled_) return;
    signalled_ = true;
  }
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void CompletionQueue::hold(Napi::Env env) {
  napi_ref_threadsafe_function(env, function_);
}

void CompletionQueue::let_go(Napi::Env env) {
  if (function_ != nullptr) napi_unref_threadsafe_function(env, function_);
}

void CompletionQueue::close() {
  drop();
  if (function_ != nullptr) napi_release_threadsafe_function(std::exchange(function_, nullptr), napi_tsfn_abort);
}

void CompletionQueue::abandon() {
  drop();
  function_ = nullptr;
}

void CompletionQueue::run(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // the environment is ending
  const std::shared_ptr<CompletionQueue> queue = *static_cast<std::shared_ptr<CompletionQueue>*>(context);
  queue->drain(env);
}

void CompletionQueue::drain(Napi::Env env) {
  std::vector<Event> events;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    events.swap(events_);
    signalled_ = false;
  }
  for (const Event& event : events) {
    const Napi::HandleScope scope(env);
    try {
      event(env);
    } catch (const Napi::Error& error) {
      if (!error.IsEmpty()) napi_fatal_exception(env, error.Value());
    }
  }
}

void CompletionQueue::drop() {
  std::vector<Event> events;
  const std::lock_guard<std::mutex> lock(mutex_);
  events.swap(events_);
}

}  // namespace mipha
