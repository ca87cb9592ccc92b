// mipha_trt_interface of the stand-in.
#include <cstring>
#include <memory>
#include <string>

#include "core/cpu_features.h"
#include "core/thread_pool.h"
#include "test/standin/bindings.h"
#include "test/standin/build.h"
#include "test/standin/device.h"
#include "test/standin/segment.h"

using namespace mipha::standin;

struct mipha_trt {
  Device device;
  mipha::ThreadPool pool{mipha::physical_cores()};
  std::string error;
  int runs = 0;
};

struct mipha_trt_engine {
  mipha_trt* trt;
  Segment segment;
  std::vector<Bindings> bound;  // [profile]
};

namespace {

constexpr int64_t kScratchBytes = 4096;

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(MIPHA_TRT_ARGUMENT, why);
}

/// Runs the body of a function of the table; what it throws becomes status and words.
template <typename Body>
mipha_trt_status guarded(mipha_trt* trt, Body&& body) {
  try {
    body();
    return MIPHA_TRT_OK;
  } catch (const Failure& failure) {
    trt->error = failure.what();
    return failure.status;
  } catch (const std::exception& error) {
    trt->error = error.what();
    return MIPHA_TRT_DEVICE;
  }
}

mipha_trt_status open(mipha_trt** out, char* error, size_t error_bytes) {
  const std::string refusal = setting("MIPHA_STANDIN_UNAVAILABLE", "");
  if (!refusal.empty()) {
    std::strncpy(error, refusal.c_str(), error_bytes - 1);
    error[error_bytes - 1] = '\0';
    return MIPHA_TRT_UNAVAILABLE;
  }
  *out = new mipha_trt;
  return MIPHA_TRT_OK;
}

void close(mipha_trt* trt) {
  delete trt;
}

const char* error(const mipha_trt* trt) {
  return trt->error.c_str();
}

mipha_trt_status facts(mipha_trt* trt, mipha_trt_facts* out) {
  *out = {};
  const std::string version = setting("MIPHA_STANDIN_TENSORRT", kTensorRt), gpu = setting("MIPHA_STANDIN_GPU", kGpu);
  std::strncpy(out->tensorrt, version.c_str(), sizeof out->tensorrt - 1);
  std::strncpy(out->headers, version.c_str(), sizeof out->headers - 1);
  std::strncpy(out->gpu, gpu.c_str(), sizeof out->gpu - 1);
  out->compute_capability = 87;
  out->cuda_runtime = out->cuda_driver = 12060;
  out->total_bytes = trt->device.total_bytes();
  out->free_bytes = trt->device.free_bytes();
  return MIPHA_TRT_OK;
}

mipha_trt_status build_plan(mipha_trt* trt, const mipha_trt_build* what, mipha_trt_progress progress, void* user) {
  return guarded(trt, [&] { build(*what, progress, user); });
}

mipha_trt_status load(mipha_trt* trt, const void* plan, size_t bytes, mipha_trt_engine** out) {
  return guarded(trt, [&] {
    std::unique_ptr<mipha_trt_engine> engine;
    try {
      Plan decoded = Plan::decode(plan, bytes);
      const std::string version = setting("MIPHA_STANDIN_TENSORRT", kTensorRt), gpu = setting("MIPHA_STANDIN_GPU", kGpu);
      if (decoded.tensorrt != version) throw std::runtime_error("built by TensorRT " + decoded.tensorrt + ", this is " + version);
      if (decoded.gpu != gpu) throw std::runtime_error("built for " + decoded.gpu + ", this is " + gpu);
      const size_t profiles = decoded.profiles.size();
      engine.reset(new mipha_trt_engine{trt, Segment(std::move(decoded), trt->pool), std::vector<Bindings>(profiles)});
    } catch (const std::exception& error) {
      throw Failure(MIPHA_TRT_PLAN, std::string("the plan is refused: ") + error.what());
    }
    trt->device.take(engine->segment.weight_bytes(), "weights");
    *out = engine.release();
  });
}

void unload(mipha_trt_engine* engine) {
  engine->trt->device.give_back(engine->segment.weight_bytes());
  delete engine;
}

int32_t profiles(const mipha_trt_engine* engine) {
  return static_cast<int32_t>(engine->bound.size());
}

mipha_trt_status describe(mipha_trt_engine* engine, int32_t profile, int32_t index, mipha_trt_tensor* out) {
  return guarded(engine->trt, [&] {
    const Plan& plan = engine->segment.plan();
    if (index < 0 || index >= static_cast<int32_t>(plan.tensors.size())) refuse("no tensor " + std::to_string(index));
    const GraphTensor& tensor = plan.tensors[index];
    *out = {};
    std::strncpy(out->name, tensor.name.c_str(), sizeof out->name - 1);
    out->input = tensor.input;
    out->type = tensor.type == 10 ? MIPHA_TRT_F16 : tensor.type == 6 ? MIPHA_TRT_I32 : MIPHA_TRT_F32;
    out->dims = static_cast<int32_t>(tensor.dims.size());
    for (int32_t i = 0; i < out->dims; ++i) {
      out->least[i] = tensor.input ? plan.profiles.at(profile)[index].least[i] : tensor.dims[i].size;
      out->most[i] = tensor.input ? plan.profiles.at(profile)[index].most[i] : tensor.dims[i].size;
    }
  });
}

int64_t scratch_bytes(const mipha_trt_engine*) {
  return kScratchBytes;
}

int64_t weight_bytes(const mipha_trt_engine* engine) {
  return engine->segment.weight_bytes();
}

mipha_trt_status bind_tensor(mipha_trt_engine* engine, int32_t profile, const char* name, const int64_t* dims, int32_t count, void* device) {
  return guarded(engine->trt, [&] { engine->bound.at(profile)[name] = bind(engine->segment.plan(), profile, name, dims, count, device); });
}

mipha_trt_status run(mipha_trt_engine* engine, int32_t profile, void* scratch, int64_t bytes) {
  mipha_trt* const trt = engine->trt;
  return guarded(trt, [&] {
    const Bindings bindings = complete(engine->segment.plan(), engine->bound.at(profile), trt->device);
    if (bytes < kScratchBytes) refuse("scratch: expected " + std::to_string(kScratchBytes) + " bytes");
    trt->device.check(scratch, kScratchBytes, "scratch");
    trt->device.queue([trt, engine, bindings] {
      if (++trt->runs > std::stoi(setting("MIPHA_STANDIN_RUNS", "2000000000"))) throw Failure(MIPHA_TRT_DEVICE, "the device fell silent");
      check_finite(engine->segment.plan(), bindings, true);
      engine->segment.run(bindings);
      check_finite(engine->segment.plan(), bindings, false);
    });
  });
}

mipha_trt_status allocate(mipha_trt* trt, size_t bytes, void** device) {
  return guarded(trt, [&] { *device = trt->device.allocate(bytes); });
}

void release(mipha_trt* trt, void* device) {
  trt->device.release(device);
}

mipha_trt_status copy(mipha_trt* trt, void* to, const void* from, size_t bytes, mipha_trt_direction direction) {
  return guarded(trt, [&] {
    if (direction != MIPHA_TRT_FROM_DEVICE) trt->device.check(to, bytes, "copy to");
    if (direction != MIPHA_TRT_TO_DEVICE) trt->device.check(from, bytes, "copy from");
    const auto *low = static_cast<const char*>(to), *high = static_cast<const char*>(from);
    if (low < high + bytes && high < low + bytes) refuse("copy: the ranges overlap");
    trt->device.queue([=] { std::memcpy(to, from, bytes); });
  });
}

mipha_trt_status wait(mipha_trt* trt) {
  return guarded(trt, [&] { trt->device.wait(); });
}

const mipha_trt_table kTable = {MIPHA_TRT_VERSION, open,          close,        error,       facts, build_plan, load,    unload, profiles,
                                describe,          scratch_bytes, weight_bytes, bind_tensor, run,   allocate,   release, copy,   wait};

}  // namespace

extern "C" __attribute__((visibility("default"))) const mipha_trt_table* mipha_trt_interface() {
  return &kTable;
}
