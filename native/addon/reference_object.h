// reference(manifest) of test/support/test-addon.ts: the FP32 forward pass as a JavaScript object. Synchronous.
#pragma once

#include <napi.h>

namespace mipha {

/// Needs the Instance of `env` (addon/instance.h) to be set: it keeps the constructor there.
void export_reference(Napi::Env env, Napi::Object exports);

/// Reference objects that the garbage collector has not freed yet, of all threads.
int live_references();

}  // namespace mipha
