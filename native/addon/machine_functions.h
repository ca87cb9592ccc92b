// cpu() and backends() of src/addon/addon.ts, handles() of test/support/test-addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_machine(Napi::Env env, Napi::Object exports);

}  // namespace mipha
