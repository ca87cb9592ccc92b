// trace(…) of test/support/test-addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_trace(Napi::Env env, Napi::Object exports);

}  // namespace mipha
