// JavaScript values to native ones. The SDK has validated them with good messages; here only types, sizes and ranges are re-checked,
// so that no caller can make native code read out of bounds. All throw Error kOption unless told otherwise.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/image.h"
#include "model/reference.h"

namespace mipha {

/// Borrows the buffer of `data`: the caller keeps it referenced. Throws kImage when pixels, stride and buffer do not fit together.
Image image_from_js(const Napi::Value& value);

std::vector<int32_t> ids_from_js(const Napi::Value& value, const char* name);
std::string string_from_js(const Napi::Value& value, const char* name);
double number_from_js(const Napi::Value& value, const char* name);

/// A whole number within [least, most].
int64_t integer_from_js(const Napi::Value& value, const char* name, int64_t least, int64_t most);

JobOptions job_options_from_js(const Napi::Object& options);

/// Copies the arrays; checked() looks at what is in them.
Constraint automaton_from_js(const Napi::Value& value);

/// Bytes of each id, cut at `offsets` [ids + 1].
std::vector<std::vector<uint8_t>> vocabulary_from_js(const Napi::Value& bytes, const Napi::Value& offsets);

/// A function called with (name, values, rows, columns). Undefined gives no probe. What JavaScript throws in it leaves as Napi::Error.
Probe probe_from_js(const Napi::Value& value);

Napi::Float32Array floats_to_js(Napi::Env env, const float* values, size_t count);
Napi::Value ids_to_js(Napi::Env env, const std::vector<int32_t>& ids);

}  // namespace mipha
