// cudaFacts of src/addon/addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_cuda(Napi::Env env, Napi::Object exports);

}  // namespace mipha
