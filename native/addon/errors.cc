#include "addon/errors.h"

#include <string>

namespace mipha {

void fill_error(Napi::Object target, const Error& error) {
  const Napi::Env env = target.Env();
  const std::string message = error.what();
  target.Set("message", message);
  target.Set("code", code_name(error.code));
  Napi::Object details = Napi::Object::New(env);
  for (const auto& [name, number] : error.details) details.Set(name, number);
  target.Set("details", details);

  // The engine writes the heading of a stack when the object is made, which for a job is before anything has failed.
  const Napi::Value stack = target.Get("stack");
  if (!stack.IsString()) return;
  const std::string text = stack.As<Napi::String>();
  const size_t frames = text.find("\n    at ");
  target.Set("stack", "Error: " + message + (frames == std::string::npos ? "" : text.substr(frames)));
}

Napi::Error js_error(Napi::Env env, const Error& error) {
  Napi::Error result = Napi::Error::New(env, error.what());
  fill_error(result.Value(), error);
  return result;
}

void throw_js(Napi::Env env, const Error& error) {
  throw js_error(env, error);
}

}  // namespace mipha
