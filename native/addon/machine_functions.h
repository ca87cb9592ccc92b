// cpu(), backends() and handles() of src/addon/addon.ts.
#pragma once

#include <napi.h>

namespace mipha {

void export_machine(Napi::Env env, Napi::Object exports);

}  // namespace mipha
