#include "addon/arrays_worker.h"

#include <string>
#include <utility>

#include "addon/errors.h"

namespace mipha {

ArraysWorker::ArraysWorker(const Napi::CallbackInfo& info, const char* name, Work work, Result result)
    : Napi::AsyncWorker(info.Env(), name),
      work_(std::move(work)),
      result_(std::move(result)),
      deferred_(info.Env()),
      error_(Napi::Persistent(Napi::Error::New(info.Env(), "").Value())),
      arguments_(Napi::Persistent(Napi::Object::New(info.Env()))) {
  for (uint32_t i = 0; i < info.Length(); ++i) arguments_.Set(i, info[i]);
  arguments_.Set("this", info.This());
}

Napi::Promise ArraysWorker::start(const Napi::CallbackInfo& info, const char* name, Work work, Result result) {
  auto worker = std::make_unique<ArraysWorker>(info, name, std::move(work), std::move(result));
  const Napi::Promise promise = worker->deferred_.Promise();
  worker.release()->Queue();  // it deletes itself
  return promise;
}

void ArraysWorker::Execute() {
  try {
    work_();
  } catch (...) {
    failure_ = current_error();
  }
}

void ArraysWorker::OnOK() {
  if (!failure_) return deferred_.Resolve(result_ ? result_(Env()) : Env().Undefined());
  fill_error(error_.Value(), *failure_);
  deferred_.Reject(error_.Value());
}

uint8_t* array_from_js(const Napi::Value& value, const char* name, napi_typedarray_type type, int64_t count) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) {
    throw Error(Code::kOption, std::string(name) + ": expected another kind of typed array");
  }
  const Napi::TypedArray array = value.As<Napi::TypedArray>();
  if (static_cast<int64_t>(array.ElementLength()) != count) {
    throw Error(Code::kOption,
                std::string(name) + ": expected " + std::to_string(count) + " values, received " + std::to_string(array.ElementLength()));
  }
  return static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
}

}  // namespace mipha
