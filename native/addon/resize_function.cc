#include "addon/resize_function.h"

#include <algorithm>
#include <vector>

#include "addon/convert.h"
#include "addon/errors.h"
#include "core/error.h"
#include "model/image.h"

namespace mipha {
namespace {

/// { aspect, background }: what padding needs.
Preprocessing preprocessing_from_js(const Napi::Value& value) {
  if (!value.IsObject()) throw Error(Code::kOption, "preprocessing: expected an object");
  const Napi::Object object = value.As<Napi::Object>();
  Preprocessing preprocessing;
  preprocessing.pad_to_square = string_from_js(object.Get("aspect"), "preprocessing.aspect") == "pad";
  preprocessing.background = static_cast<uint8_t>(integer_from_js(object.Get("background"), "preprocessing.background", 0, 255));
  return preprocessing;
}

constexpr int kMaxSize = 2048;  // of a model's picture, see native/model/config.cc

Napi::Value resize_function(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Image image = image_from_js(info[0]);
    const int size = static_cast<int>(integer_from_js(info[1], "size", 1, kMaxSize));
    const std::vector<uint8_t> pixels = resize(image, size, preprocessing_from_js(info[2]));
    Napi::Uint8Array result = Napi::Uint8Array::New(info.Env(), pixels.size());
    std::copy(pixels.begin(), pixels.end(), result.Data());
    return result;
  });
}

}  // namespace

void export_resize(Napi::Env env, Napi::Object exports) {
  exports.Set("resize", Napi::Function::New(env, resize_function, "resize"));
}

}  // namespace mipha
