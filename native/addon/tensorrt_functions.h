// tensorrtFacts, tensorrtBuild and tensorrtCheck of src/addon/addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_tensorrt(Napi::Env env, Napi::Object exports);

}  // namespace mipha
