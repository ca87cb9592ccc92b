// Work on arrays of the caller's, on a thread of Node's pool, as a promise.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>

#include "core/error.h"

namespace mipha {

class ArraysWorker : public Napi::AsyncWorker {
 public:
  using Work = std::function<void()>;
  using Result = std::function<Napi::Value(Napi::Env)>;  // on the environment's thread, once the work is done

  /// The arguments of the call, and so their arrays, are kept alive until the promise has settled. `result` null: undefined.
  static Napi::Promise start(const Napi::CallbackInfo& info, const char* name, Work work, Result result = {});

  ArraysWorker(const Napi::CallbackInfo& info, const char* name, Work work, Result result);

 private:
  void Execute() override;
  void OnOK() override;

  const Work work_;
  const Result result_;
  const Napi::Promise::Deferred deferred_;
  const Napi::ObjectReference error_;  // made with the call, so that its stack is the caller's
  Napi::ObjectReference arguments_;
  std::shared_ptr<const Error> failure_;
};

/// First byte of a typed array that must hold exactly `count` elements. Throws kOption.
uint8_t* array_from_js(const Napi::Value& value, const char* name, napi_typedarray_type type, int64_t count);

}  // namespace mipha
