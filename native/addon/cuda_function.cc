#include "addon/cuda_function.h"

#include <memory>
#include <sstream>
#include <string>

#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/thread_job.h"
#include "backend/cuda/library.h"

namespace mipha {
namespace {

Napi::Value to_js(Napi::Env env, const cuda::Facts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("gpu", std::string(facts.gpu));
  object.Set("computeCapability", facts.compute_capability);
  object.Set("cudaRuntime", facts.runtime);
  object.Set("cudaDriver", facts.driver);
  object.Set("integrated", facts.integrated != 0);
  object.Set("totalBytes", static_cast<double>(facts.total_bytes));
  object.Set("freeBytes", static_cast<double>(facts.free_bytes));
  object.Set("processors", facts.processors);
  Napi::Array built = Napi::Array::New(env);
  std::istringstream names(facts.built);
  for (std::string name; names >> name;) built.Set(built.Length(), name);
  object.Set("built", built);
  return object;
}

Napi::Value read_facts(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = string_from_js(info[0], "library");
    const auto found = std::make_shared<cuda::Facts>();
    return ThreadJob::start(
               info.Env(), "cudaFacts", [=](const auto&, const auto&) { *found = cuda::Library(path).facts(); },
               [found](Napi::Env env) { return to_js(env, *found); })
        .Get("done");
  });
}

}  // namespace

void export_cuda(Napi::Env env, Napi::Object exports) {
  exports.Set("cudaFacts", Napi::Function::New(env, read_facts, "cudaFacts"));
}

}  // namespace mipha
