// matmulInt8(): the CPU backend's INT8 product alone, for tests (src/addon/addon.ts).
#pragma once

#include <napi.h>

namespace mipha {

void export_product(Napi::Env env, Napi::Object exports);

}  // namespace mipha
