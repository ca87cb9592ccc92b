// Native failures as JavaScript errors: `code` is the stable name, `details` holds the named numbers.
#pragma once

#include <napi.h>

#include <exception>
#include <memory>

#include "core/error.h"

namespace mipha {

/// Gives an error object its message, code and details. The first line of its stack follows the message; the frames stay as they were captured.
void fill_error(Napi::Object target, const Error& error);

/// A fresh Error whose stack is the caller's.
Napi::Error js_error(Napi::Env env, const Error& error);

[[noreturn]] void throw_js(Napi::Env env, const Error& error);

/// Runs the body of a function called by JavaScript: an Error becomes a typed JavaScript error, any other C++ exception ERR_INTERNAL.
template <typename Body>
auto guarded(Napi::Env env, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    throw_js(env, *current_error());
  }
}

}  // namespace mipha
