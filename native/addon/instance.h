// What one environment (the main thread or a worker_thread) keeps of this addon.
#pragma once

#include <napi.h>

namespace mipha {

struct Instance {
  Napi::FunctionReference engine;     // constructor of EngineObject
  Napi::FunctionReference reference;  // constructor of ReferenceObject
  Napi::FunctionReference stages;     // constructor of StagesObject
};

inline Instance& instance(Napi::Env env) {
  return *env.GetInstanceData<Instance>();
}

}  // namespace mipha
