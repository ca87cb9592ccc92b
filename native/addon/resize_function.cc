#include "addon/resize_function.h"

#include <algorithm>
#include <string>
#include <vector>

#include "addon/convert.h"
#include "addon/errors.h"
#include "core/error.h"
#include "model/image.h"

namespace mipha {
namespace {

constexpr int kMaxSize = 2048, kMaxShortestSide = 4096;  // of a model's picture, see native/model/config.cc

Aspect aspect_from_js(const Napi::Value& value) {
  const std::string aspect = string_from_js(value, "preprocessing.aspect");
  if (aspect == "pad") return Aspect::kPad;
  if (aspect == "squash") return Aspect::kSquash;
  if (aspect == "crop") return Aspect::kCrop;
  throw Error(Code::kOption, "preprocessing.aspect: expected pad, squash or crop, received " + aspect);
}

Filter filter_from_js(const Napi::Value& value) {
  const std::string filter = string_from_js(value, "preprocessing.filter");
  if (filter == "bicubic") return Filter::kBicubic;
  if (filter == "bilinear") return Filter::kBilinear;
  throw Error(Code::kOption, "preprocessing.filter: expected bicubic or bilinear, received " + filter);
}

/// What of a manifest's preprocessing makes pixels; `size` is the side of the picture wanted.
Preprocessing preprocessing_from_js(const Napi::Value& value, int size) {
  if (!value.IsObject()) throw Error(Code::kOption, "preprocessing: expected an object");
  const Napi::Object object = value.As<Napi::Object>();
  Preprocessing preprocessing;
  preprocessing.aspect = aspect_from_js(object.Get("aspect"));
  preprocessing.shortest_side = static_cast<int>(integer_from_js(object.Get("shortestSide"), "preprocessing.shortestSide", size, kMaxShortestSide));
  preprocessing.filter = filter_from_js(object.Get("filter"));
  const Napi::Value background = object.Get("background");
  if (!background.IsArray()) throw Error(Code::kOption, "preprocessing.background: expected red, green and blue");
  for (uint32_t channel = 0; channel < 3; ++channel) {
    const Napi::Value byte = background.As<Napi::Array>().Get(channel);
    preprocessing.background[channel] = static_cast<uint8_t>(integer_from_js(byte, "preprocessing.background", 0, 255));
  }
  return preprocessing;
}

Napi::Value resize_function(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Image image = image_from_js(info[0]);
    const int size = static_cast<int>(integer_from_js(info[1], "size", 1, kMaxSize));
    const std::vector<uint8_t> pixels = resize(image, size, preprocessing_from_js(info[2], size));
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
