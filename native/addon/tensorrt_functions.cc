#include "addon/tensorrt_functions.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "addon/convert.h"
#include "addon/errors.h"
#include "addon/thread_job.h"
#include "backend/tensorrt/check.h"
#include "backend/tensorrt/library.h"
#include "package/package.h"

namespace mipha {
namespace {

using tensorrt::BuildRequest;
using tensorrt::Deviation;
using tensorrt::Library;

Napi::Value to_js(Napi::Env env, const mipha_trt_facts& facts) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tensorrt", std::string(facts.tensorrt));
  object.Set("headers", std::string(facts.headers));
  object.Set("gpu", std::string(facts.gpu));
  object.Set("computeCapability", facts.compute_capability);
  object.Set("cudaRuntime", facts.cuda_runtime);
  object.Set("cudaDriver", facts.cuda_driver);
  object.Set("integrated", facts.integrated != 0);
  object.Set("totalBytes", static_cast<double>(facts.total_bytes));
  object.Set("freeBytes", static_cast<double>(facts.free_bytes));
  object.Set("interfaceVersion", MIPHA_TRT_VERSION);
  return object;
}

Napi::Value to_js(Napi::Env env, const std::vector<Deviation>& deviations) {
  Napi::Array array = Napi::Array::New(env, deviations.size());
  for (const Deviation& deviation : deviations) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("tensor", deviation.tensor);
    object.Set("deviation", deviation.deviation);
    object.Set("limit", deviation.limit);
    array.Set(static_cast<uint32_t>(&deviation - deviations.data()), object);
  }
  return array;
}

Napi::Object object_from_js(const Napi::Value& value, const std::string& name) {
  if (!value.IsObject()) throw Error(Code::kOption, name + ": expected an object");
  return value.As<Napi::Object>();
}

std::vector<int64_t> sizes_from_js(const Napi::Value& value, const std::string& name) {
  if (!value.IsArray()) throw Error(Code::kOption, name + ": expected an array of sizes");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<int64_t> sizes;
  for (uint32_t i = 0; i < array.Length(); ++i) sizes.push_back(integer_from_js(array[i], name.c_str(), 0, int64_t{1} << 31));
  return sizes;
}

BuildRequest request_from_js(const Napi::Value& value) {
  const Napi::Object options = object_from_js(value, "options");
  BuildRequest request;
  request.graph = string_from_js(options.Get("graph"), "graph");
  request.plan = string_from_js(options.Get("plan"), "plan");
  request.timing_cache = string_from_js(options.Get("timingCache"), "timingCache");
  if (const Napi::Value switches = options.Get("switches"); !switches.IsNull()) request.switches = string_from_js(switches, "switches");
  request.workspace_bytes = integer_from_js(options.Get("workspaceBytes"), "workspaceBytes", 0, int64_t{1} << 50);
  request.level = static_cast<int>(integer_from_js(options.Get("level"), "level", 0, 5));
  if (!options.Get("profiles").IsArray()) throw Error(Code::kOption, "profiles: expected an array");
  const Napi::Array profiles = options.Get("profiles").As<Napi::Array>();
  for (uint32_t i = 0; i < profiles.Length(); ++i) {
    const Napi::Object profile = object_from_js(profiles[i], "profiles");
    std::vector<tensorrt::Range>& ranges = request.profiles.emplace_back();
    const Napi::Array names = profile.GetPropertyNames();
    for (uint32_t k = 0; k < names.Length(); ++k) {
      const std::string name = string_from_js(names[k], "profiles");
      const Napi::Object range = object_from_js(profile.Get(name), "profiles." + name);
      const auto sizes = [&](const char* key) { return sizes_from_js(range.Get(key), "profiles." + name + "." + key); };
      ranges.push_back({name, sizes("least"), sizes("usual"), sizes("most")});
    }
  }
  return request;
}

/// Passes on what a person can see: another step, or a hundredth more.
class Steps {
 public:
  explicit Steps(const ThreadJob::Progress& progress) : progress_(progress) {}

  void report(const std::string& what, double fraction) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (what == what_ && fraction < fraction_ + 0.01 && fraction < 1) return;
      what_ = what;
      fraction_ = fraction;
    }
    progress_(what, fraction);
  }

 private:
  const ThreadJob::Progress& progress_;
  std::mutex mutex_;
  std::string what_;
  double fraction_ = -1;
};

Napi::Value read_facts(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = string_from_js(info[0], "library");
    const auto found = std::make_shared<mipha_trt_facts>();
    return ThreadJob::start(
               info.Env(), "tensorrtFacts", [=](const auto&, const auto&) { *found = Library(path).library_facts(); },
               [found](Napi::Env env) { return to_js(env, *found); })
        .Get("done");
  });
}

Napi::Value build_plan(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = string_from_js(info[0], "library");
    const BuildRequest request = request_from_js(info[1]);
    const ThreadJob::Work work = [path, request](const ThreadJob::Progress& progress, const std::atomic<bool>& cancelled) {
      Steps steps(progress);
      Library(path).build(request, [&](const std::string& what, double fraction) {
        steps.report(what, fraction);
        return cancelled.load();
      });
    };
    return ThreadJob::start(
        info.Env(), "tensorrtBuild", work, [](Napi::Env env) { return env.Undefined(); }, info[2],
        [](Napi::Object error, const Error& cause) {
          if (cause.code == Code::kDevice) error.Get("details").As<Napi::Object>().Set("stage", "build");
        });
  });
}

Napi::Value check_one(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const std::string path = string_from_js(info[0], "library"), package = string_from_js(info[1], "package");
    const std::string plan = string_from_js(info[2], "plan");
    const auto deviations = std::make_shared<std::vector<Deviation>>();
    return ThreadJob::start(
               info.Env(), "tensorrtCheck",
               [=](const auto&, const auto&) {
                 const Library library(path);
                 const tensorrt::SelfTest stored(package, Package::open(package)->config());
                 *deviations = check_plan(library, stored, plan);
               },
               [deviations](Napi::Env env) { return to_js(env, *deviations); })
        .Get("done");
  });
}

}  // namespace

void export_tensorrt(Napi::Env env, Napi::Object exports) {
  exports.Set("tensorrtFacts", Napi::Function::New(env, read_facts, "tensorrtFacts"));
  exports.Set("tensorrtBuild", Napi::Function::New(env, build_plan, "tensorrtBuild"));
  exports.Set("tensorrtCheck", Napi::Function::New(env, check_one, "tensorrtCheck"));
}

}  // namespace mipha
