// What conversion leaves to native code: quantize and addProduct of src/addon/addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_conversion(Napi::Env env, Napi::Object exports);

}  // namespace mipha
