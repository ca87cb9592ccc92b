// The native binary as src/addon/addon.ts describes it.
#include <napi.h>

#include "addon/constraint_handle.h"
#include "addon/conversion_functions.h"
#include "addon/cuda_function.h"
#include "addon/engine_object.h"
#include "addon/instance.h"
#include "addon/machine_functions.h"
#include "addon/matmul_function.h"
#include "addon/reference_object.h"
#include "addon/resize_function.h"
#include "addon/stages_object.h"
#include "addon/tensorrt_functions.h"
#include "addon/trace_function.h"

namespace {

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new mipha::Instance);  // freed with the environment
  exports.Set("version", MIPHA_VERSION);
  mipha::export_constraint(env, exports);
  mipha::export_conversion(env, exports);
  mipha::export_cuda(env, exports);
  mipha::export_engine(env, exports);
  mipha::export_machine(env, exports);
  mipha::export_matmul(env, exports);
  mipha::export_reference(env, exports);
  mipha::export_resize(env, exports);
  mipha::export_stages(env, exports);
  mipha::export_tensorrt(env, exports);
  mipha::export_trace(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(mipha_edge, initialise)
