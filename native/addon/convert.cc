#include "addon/convert.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace mipha {
namespace {

[[noreturn]] void expected(const char* name, const std::string& what) {
  throw Error(Code::kOption, std::string(name) + ": expected " + what);
}

template <typename Element>
Napi::TypedArrayOf<Element> typed_array(const Napi::Value& value, const char* name, napi_typedarray_type type, const char* type_name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) expected(name, type_name);
  return value.As<Napi::TypedArrayOf<Element>>();
}

template <typename Element>
std::vector<Element> copy_of(const Napi::TypedArrayOf<Element>& array) {
  const size_t length = array.ElementLength();
  if (length == 0) return {};
  return std::vector<Element>(array.Data(), array.Data() + length);
}

std::vector<uint8_t> bytes_from_js(const Napi::Value& value, const char* name) {
  return copy_of(typed_array<uint8_t>(value, name, napi_uint8_array, "a Uint8Array"));
}

PixelFormat format_from_js(const Napi::Value& value) {
  const std::string format = string_from_js(value, "format");
  if (format == "rgb") return PixelFormat::kRgb;
  if (format == "rgba") return PixelFormat::kRgba;
  if (format == "bgr") return PixelFormat::kBgr;
  if (format == "gray") return PixelFormat::kGray;
  if (format == "nv12") return PixelFormat::kNv12;
  throw Error(Code::kImage, "format: expected rgb, rgba, bgr, gray or nv12, received " + format);
}

}  // namespace

Image image_from_js(const Napi::Value& value) {
  if (!value.IsObject()) throw Error(Code::kImage, "image: expected an object");
  const Napi::Object object = value.As<Napi::Object>();
  const Napi::Value data = object.Get("data");
  // Buffers are Uint8Arrays; clamped arrays, as a canvas gives them, hold the same bytes.
  if (!data.IsTypedArray() || data.As<Napi::TypedArray>().ElementSize() != 1) throw Error(Code::kImage, "data: expected a Uint8Array");
  const Napi::TypedArray bytes = data.As<Napi::TypedArray>();
  constexpr int kMost = std::numeric_limits<int>::max();
  Image image;
  image.data = static_cast<const uint8_t*>(bytes.ArrayBuffer().Data()) + bytes.ByteOffset();
  image.bytes = bytes.ByteLength();
  image.width = static_cast<int>(integer_from_js(object.Get("width"), "width", 0, kMost));
  image.height = static_cast<int>(integer_from_js(object.Get("height"), "height", 0, kMost));
  image.stride = static_cast<int>(integer_from_js(object.Get("stride"), "stride", 0, kMost));
  image.format = format_from_js(object.Get("format"));
  check(image);
  return image;
}

std::vector<int32_t> ids_from_js(const Napi::Value& value, const char* name) {
  return copy_of(typed_array<int32_t>(value, name, napi_int32_array, "an Int32Array"));
}

std::string string_from_js(const Napi::Value& value, const char* name) {
  if (!value.IsString()) expected(name, "a string");
  return value.As<Napi::String>();
}

double number_from_js(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) expected(name, "a number");
  const double number = value.As<Napi::Number>();
  if (std::isnan(number)) expected(name, "a number");
  return number;
}

int64_t integer_from_js(const Napi::Value& value, const char* name, int64_t least, int64_t most) {
  const double number = number_from_js(value, name);
  if (number != std::floor(number) || number < static_cast<double>(least) || number > static_cast<double>(most)) {
    expected(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<int64_t>(number);
}

JobOptions job_options_from_js(const Napi::Object& options) {
  JobOptions result;
  const Napi::Value priority = options.Get("priority"), deadline = options.Get("deadlineMs");
  if (!priority.IsUndefined()) result.priority = static_cast<int>(integer_from_js(priority, "priority", -1'000'000'000, 1'000'000'000));
  if (!deadline.IsUndefined()) {
    const double milliseconds = number_from_js(deadline, "deadlineMs");
    constexpr double kYear = 365.0 * 24 * 3600 * 1000;  // beyond it there is no deadline worth keeping, and no overflow
    if (milliseconds < kYear) {
      result.deadline = Clock::now() + std::chrono::microseconds(static_cast<int64_t>(std::max(milliseconds, 0.0) * 1000));
    }
  }
  return result;
}

Constraint automaton_from_js(const Napi::Value& value) {
  if (!value.IsObject()) expected("automaton", "an object");
  const Napi::Object object = value.As<Napi::Object>();
  Constraint constraint;
  constraint.states = static_cast<int>(integer_from_js(object.Get("states"), "states", 1, 1 << 22));
  constraint.column = bytes_from_js(object.Get("column"), "column");
  constraint.ends = ids_from_js(object.Get("ends"), "ends");
  constraint.next = ids_from_js(object.Get("next"), "next");
  constraint.accepting = bytes_from_js(object.Get("accepting"), "accepting");
  constraint.group = ids_from_js(object.Get("group"), "group");
  constraint.decided = bytes_from_js(object.Get("decided"), "decided");
  return constraint;
}

std::vector<std::vector<uint8_t>> vocabulary_from_js(const Napi::Value& bytes, const Napi::Value& offsets) {
  const auto all = typed_array<uint8_t>(bytes, "vocabulary", napi_uint8_array, "a Uint8Array");
  const auto cuts = typed_array<uint32_t>(offsets, "vocabularyOffsets", napi_uint32_array, "a Uint32Array");
  if (cuts.ElementLength() == 0) expected("vocabularyOffsets", "at least one offset");
  const uint8_t* data = all.Data();
  const size_t size = all.ElementLength();
  std::vector<std::vector<uint8_t>> vocabulary(cuts.ElementLength() - 1);
  for (size_t id = 0; id < vocabulary.size(); ++id) {
    const size_t begin = cuts[id], end = cuts[id + 1];
    if (begin > end || end > size) expected("vocabularyOffsets", "rising offsets within the vocabulary");
    if (begin < end) vocabulary[id].assign(data + begin, data + end);
  }
  return vocabulary;
}

Probe probe_from_js(const Napi::Value& value) {
  if (value.IsUndefined()) return {};
  if (!value.IsFunction()) expected("probe", "a function");
  const Napi::Function function = value.As<Napi::Function>();
  return [function](const std::string& name, const float* data, int rows, int columns) {
    const Napi::Env env = function.Env();
    const Napi::HandleScope scope(env);
    const Napi::Float32Array values = floats_to_js(env, data, static_cast<size_t>(rows) * columns);
    function.Call({Napi::String::New(env, name), values, Napi::Number::New(env, rows), Napi::Number::New(env, columns)});
  };
}

Napi::Float32Array floats_to_js(Napi::Env env, const float* values, size_t count) {
  Napi::Float32Array array = Napi::Float32Array::New(env, count);
  std::copy_n(values, count, array.Data());
  return array;
}

Napi::Value ids_to_js(Napi::Env env, const std::vector<int32_t>& ids) {
  Napi::Int32Array array = Napi::Int32Array::New(env, ids.size());
  for (size_t i = 0; i < ids.size(); ++i) array[i] = ids[i];
  return array;
}

}  // namespace mipha
