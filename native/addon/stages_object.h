// stages(): the FP32 forward pass one stage at a time, for calibration (src/addon/addon.ts, NativeStages).
#pragma once

#include <napi.h>

namespace mipha {

void export_stages(Napi::Env env, Napi::Object exports);

}  // namespace mipha
