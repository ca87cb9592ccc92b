// matmulInt8() of test/support/test-addon.ts: the CPU backend's INT8 product alone.
#pragma once

#include <napi.h>

namespace mipha {

void export_matmul(Napi::Env env, Napi::Object exports);

}  // namespace mipha
