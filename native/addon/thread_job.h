// Work on a thread of its own, as a Job of addon.ts: for what takes minutes and must not occupy a thread of Node's pool.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "addon/completion_queue.h"
#include "core/error.h"

namespace mipha {

class ThreadJob {
 public:
  using Progress = std::function<void(const std::string& what, double fraction)>;  // from any thread
  using Work = std::function<void(const Progress& progress, const std::atomic<bool>& cancelled)>;
  using Result = std::function<Napi::Value(Napi::Env)>;                         // on the environment's thread, once the work is done
  using Failure = std::function<void(Napi::Object error, const Error& cause)>;  // adds to the error what it wants to

  /// → Job. When the environment ends, the work is cancelled and waited for. `on_progress`: undefined or a function of (what, fraction).
  static Napi::Object start(Napi::Env env, const char* name, Work work, Result result, const Napi::Value& on_progress = {}, Failure failure = {});

 private:
  explicit ThreadJob(Napi::Env env);
  void settle(Napi::Env env, const std::shared_ptr<const Error>& error);
  static void end_with_environment(void* job);

  const Napi::Promise::Deferred deferred_;
  const Napi::ObjectReference error_;  // made with the call, so that its stack is the caller's
  Napi::FunctionReference on_progress_;
  Result result_;
  Failure failure_;
  const std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<CompletionQueue> queue_;
  std::thread thread_;
};

}  // namespace mipha
