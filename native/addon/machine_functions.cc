#include "addon/machine_functions.h"

#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "addon/errors.h"
#include "addon/reference_object.h"
#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "core/cpu_features.h"
#include "core/int8_peak.h"
#include "core/read_bandwidth.h"
#include "engine/live_counts.h"

namespace mipha {
namespace {

#if defined(__x86_64__)
constexpr const char* kCompiled[] = {"amx", "avx512bf16", "avx512vnni", "avx2", "scalar"};
#elif defined(__aarch64__)
constexpr const char* kCompiled[] = {"i8mm", "dotprod", "scalar"};
#endif

Napi::Array strings_to_js(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (size_t i = 0; i < strings.size(); ++i) array.Set(static_cast<uint32_t>(i), strings[i]);
  return array;
}

Napi::Value cpu_facts(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const cpu::KernelList list = cpu::kernels();
    const std::vector<std::string> compiled(std::begin(kCompiled), std::end(kCompiled));
    std::vector<std::string> runnable;
    for (int i = 0; i < list.count; ++i) runnable.emplace_back(list.rows[i]->name);
    Napi::Object object = Napi::Object::New(info.Env());
    object.Set("compiled", strings_to_js(info.Env(), compiled));
    object.Set("runnable", strings_to_js(info.Env(), runnable));
    object.Set("amxRefusal", cpu::amx_refusal() ? Napi::Value(Napi::String::New(info.Env(), cpu::amx_refusal())) : info.Env().Null());
    object.Set("physicalCores", physical_cores());
    object.Set("threads", std::thread::hardware_concurrency());
    object.Set("model", cpu_model());
    object.Set("memoryBytes", static_cast<double>(total_memory_bytes()));
    object.Set("availableBytes", static_cast<double>(available_memory_bytes()));
    return object;
  });
}

Napi::Value list_backends(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Napi::Array array = Napi::Array::New(info.Env());
    for (const BackendInfo& backend : backends()) {
      Napi::Object object = Napi::Object::New(info.Env());
      object.Set("name", backend.name);
      object.Set("available", backend.available);
      object.Set("reason", backend.reason);
      array.Set(array.Length(), object);
    }
    return array;
  });
}

Napi::Value measure_read_bandwidth(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    ThreadPool pool(physical_cores());
    return Napi::Number::New(info.Env(), read_bandwidth(pool));
  });
}

Napi::Value measure_int8_peak(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    ThreadPool pool(physical_cores());
    return Napi::Number::New(info.Env(), int8_peak(pool));
  });
}

Napi::Value handles(const Napi::CallbackInfo& info) {
  const LiveCounts& counts = live_counts();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("engines", counts.engines.load());
  object.Set("views", counts.views.load());
  object.Set("conversations", counts.conversations.load());
  object.Set("jobs", counts.jobs.load());
  object.Set("references", live_references());
  return object;
}

}  // namespace

void export_machine(Napi::Env env, Napi::Object exports) {
  exports.Set("cpu", Napi::Function::New(env, cpu_facts, "cpu"));
  exports.Set("backends", Napi::Function::New(env, list_backends, "backends"));
  exports.Set("readBandwidth", Napi::Function::New(env, measure_read_bandwidth, "readBandwidth"));
  exports.Set("int8Peak", Napi::Function::New(env, measure_int8_peak, "int8Peak"));
  exports.Set("handles", Napi::Function::New(env, handles, "handles"));
}

}  // namespace mipha
