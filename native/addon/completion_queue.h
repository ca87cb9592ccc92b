// The way from a worker thread to JavaScript: events run on the environment's own thread, in the order they were posted.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace mipha {

class CompletionQueue {
 public:
  using Event = std::function<void(Napi::Env)>;

  /// Does not keep the process alive until hold() is called.
  static std::shared_ptr<CompletionQueue> create(Napi::Env env, const char* name);

  /// From any thread; events hold plain data only, because those that come too late are destroyed unrun, on whatever thread. A JavaScript exception
  /// that leaves an event becomes an uncaughtException.
  void post(Event event);

  // On the environment's thread. While held, the process waits for events. After close() there is nothing left to let go of.
  void hold(Napi::Env env);
  void let_go(Napi::Env env);

  /// Drops what has not run. No thread may post after this.
  void close();
  /// close() for when the environment is ending and frees the function by itself.
  void abandon();

 private:
  CompletionQueue() = default;
  static void run(napi_env env, napi_value function, void* context, void* data);
  void drain(Napi::Env env);
  void drop();

  napi_threadsafe_function function_ = nullptr;
  std::mutex mutex_;
  std::vector<Event> events_;
  bool signalled_ = false;  // a call to run() is on its way
};

}  // namespace mipha
