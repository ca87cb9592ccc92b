// NativeEngine of src/addon/addon.ts: an Engine as a JavaScript object. Lives on its environment's thread; outcomes arrive through its queue.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "addon/completion_queue.h"
#include "engine/engine.h"

namespace mipha {

/// Needs the Instance of `env` to be set: it keeps the constructor there. Adds load().
void export_engine(Napi::Env env, Napi::Object exports);

class EngineObject : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit EngineObject(const Napi::CallbackInfo& info);
  ~EngineObject() override;

  /// → Job<NativeEngine>
  Napi::Value load(Napi::Env env, const Napi::Value& options, const Napi::Value& on_progress);

 private:
  using Key = uint64_t;

  /// What a call under way needs until it settles. The error is made with the call, so that its stack is the caller's.
  struct Call {
    Napi::Promise::Deferred deferred;
    Napi::ObjectReference error;
    Napi::ObjectReference buffer;         // keeps borrowed pixels alive
    Napi::FunctionReference on_progress;  // onToken, or onProgress of load
  };

  Napi::Value look(const Napi::CallbackInfo& info);
  Napi::Value ask(const Napi::CallbackInfo& info);
  Napi::Value gather(const Napi::CallbackInfo& info);
  Napi::Value hand_over(const Napi::CallbackInfo& info);
  Napi::Value converse(const Napi::CallbackInfo& info);
  Napi::Value release_view(const Napi::CallbackInfo& info);
  Napi::Value release_conversation(const Napi::CallbackInfo& info);
  Napi::Value status(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);

  Engine& engine() const;
  Key begin(Napi::Env env);
  Napi::Object job(Napi::Env env, Key key, std::function<void(Engine&)> cancel);
  void settle(Napi::Env env, Key key, const std::shared_ptr<const Error>& error, const std::function<Napi::Value()>& value);
  template <typename Outcome, typename Convert>
  std::function<void(Result<Outcome>)> completion(Key key, Convert convert);
  void hold(Napi::Env env);
  void let_go(Napi::Env env);
  void close(Napi::Env env);
  static void end_with_environment(void* object);

  std::shared_ptr<CompletionQueue> queue_;
  std::shared_ptr<Engine> engine_;  // the only owner; cancel functions look through weak pointers
  std::vector<int32_t> prefix_;     // before every image
  std::map<Key, Call> calls_;
  Key last_key_ = 0;
  int held_ = 0;
  bool disposing_ = false;
  std::vector<Key> disposals_;
};

}  // namespace mipha
