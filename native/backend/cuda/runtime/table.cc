// The table of functions that mipha_cuda.so exports.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>

#include "backend/cuda/runtime/failure.h"
#include "backend/cuda/runtime/forward.h"
#include "backend/cuda/runtime/pictures.h"
#include "backend/cuda/runtime/steps.h"

#ifndef MIPHA_CUDA_BUILT
#define MIPHA_CUDA_BUILT ""  // what the library has code for
#endif

namespace mipha::cuda {

/// One model, one stream. Everything but the weights' way in is laid out twice: to count, then for real.
struct Engine {
  struct Parts {
    Parts(DeviceArena& arena, const OpenRequest& request, const Launch& launch)
        : model(arena, request),
          pictures(arena, model.config, launch),
          forward(arena, model, launch, request.max_rows),
          steps(arena, model, launch) {}
    Model model;
    Pictures pictures;
    Forward forward;
    Steps steps;
  };

  Engine() = default;
  ~Engine() {
    parts.reset();
    if (launch.stream != nullptr) cudaStreamDestroy(launch.stream);
  }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Launch launch;
  DeviceArena arena;
  std::unique_ptr<Parts> parts;
};

namespace {

/// Runs `body`; what it throws becomes a status and words.
template <class Body>
Status guarded(Failure* failure, Body&& body) {
  try {
    body();
    return kOk;
  } catch (...) {
    const std::shared_ptr<const Error> error = current_error();
    *failure = {};
    std::snprintf(failure->words, sizeof failure->words, "%s", error->what());
    for (const auto& [name, value] : error->details) {
      if (name == "neededBytes") failure->needed_bytes = value;
      if (name == "availableBytes") failure->available_bytes = value;
    }
    return status_of(error->code);
  }
}

void to_be_continued(bool finished) {
  if (!finished) throw Error(Code::kDisposed, "CUDA: cancelled");
}

cudaDeviceProp properties() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "CUDA");
  if (count == 0) check(cudaErrorNoDevice, "CUDA");
  cudaDeviceProp found = {};
  check(cudaGetDeviceProperties(&found, 0), "CUDA");
  return found;
}

Status facts(Facts* out, Failure* failure) {
  return guarded(failure, [&] {
    const cudaDeviceProp device = properties();
    *out = {};
    std::snprintf(out->gpu, sizeof out->gpu, "%.127s", device.name);
    std::snprintf(out->built, sizeof out->built, "%s", MIPHA_CUDA_BUILT);
    out->compute_capability = device.major * 10 + device.minor;
    out->integrated = device.integrated;
    out->processors = device.multiProcessorCount;
    check(cudaRuntimeGetVersion(&out->runtime), "CUDA");
    check(cudaDriverGetVersion(&out->driver), "CUDA");
    size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "CUDA");
    out->free_bytes = static_cast<int64_t>(free);
    out->total_bytes = static_cast<int64_t>(total);
  });
}

/// Throws kMemory when the device cannot give what is planned; quotes the parts.
void check_memory(const DeviceArena& plan, const OpenRequest& request) {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "memory");
  const int64_t available = std::max(static_cast<int64_t>(free), request.available_bytes), needed = plan.total();
  if (needed <= available) return;
  std::string parts;
  for (const auto& [name, bytes] : plan.parts()) parts += (parts.empty() ? "" : ", ") + name + " " + std::to_string(bytes);
  throw Error(Code::kMemory, "CUDA: needed " + std::to_string(needed) + " bytes (" + parts + "), available " + std::to_string(available),
              {{"neededBytes", static_cast<double>(needed)}, {"availableBytes", static_cast<double>(available)}});
}

Status open(const OpenRequest* request, Engine** out, Failure* failure) {
  return guarded(failure, [&] {
    auto engine = std::make_unique<Engine>();
    engine->launch.processors = properties().multiProcessorCount;
    check(cudaSetDevice(0), "CUDA");
    check(cudaStreamCreateWithFlags(&engine->launch.stream, cudaStreamNonBlocking), "CUDA");
    DeviceArena plan;
    Engine::Parts(plan, *request, engine->launch);
    check_memory(plan, *request);
    engine->arena.allocate(plan, engine->launch.stream);
    engine->parts = std::make_unique<Engine::Parts>(engine->arena, *request, engine->launch);
    {
      Uploader uploader(engine->launch.stream);
      engine->parts->model.weights.load(uploader);
    }
    engine->parts->forward.load();
    engine->parts->steps.load();
    *out = engine.release();
  });
}

void close(Engine* engine) {
  delete engine;
}

int32_t memory(const Engine* engine, Part* parts) {
  int32_t count = 0;
  for (const auto& [name, bytes] : engine->arena.parts()) {
    if (count == kMostParts) break;
    std::snprintf(parts[count].name, sizeof parts[count].name, "%s", name.c_str());
    parts[count++].bytes = bytes;
  }
  return count;
}

void set_probe(Engine* engine, Seen seen, void* user) {
  engine->parts->model.probe = {seen, user};
}

int32_t fits(Engine* engine, const Image* image) {
  return engine->parts->pictures.fits(*image) ? 1 : 0;
}

Status resize(Engine* engine, const Image* image, Failure* failure) {
  return guarded(failure, [&] { engine->parts->pictures.resize(*image, engine->parts->forward.pixels()); });
}

Status set_pixels(Engine* engine, const uint8_t* pixels, Failure* failure) {
  return guarded(failure, [&] {
    const size_t side = engine->parts->model.config.vision.image_size;
    check(cudaMemcpyAsync(engine->parts->forward.pixels(), pixels, 3 * side * side, cudaMemcpyHostToDevice, engine->launch.stream), "picture");
    check(cudaStreamSynchronize(engine->launch.stream), "picture");
  });
}

Status encode(Engine* engine, Ask cancelled, void* user, Failure* failure) {
  return guarded(failure, [&] { to_be_continued(engine->parts->forward.encode(cancelled, user)); });
}

Status append(Engine* engine, const Batch* batch, Ask cancelled, void* user, Failure* failure) {
  return guarded(failure, [&] { to_be_continued(engine->parts->forward.append(*batch, cancelled, user)); });
}

Status candidates(Engine* engine, int32_t slot, const int32_t* ids, int32_t count, Failure* failure) {
  return guarded(failure, [&] { engine->parts->steps.changed_choices().candidates(slot, ids, count); });
}

Status vocabulary(Engine* engine, const VocabularyView* vocabulary, Failure* failure) {
  return guarded(failure, [&] { engine->parts->steps.changed_choices().vocabulary(*vocabulary); });
}

Status constraint(Engine* engine, int32_t slot, size_t offset, const ConstraintView* constraint, Failure* failure) {
  return guarded(failure, [&] { engine->parts->steps.changed_choices().constraint(slot, offset, *constraint); });
}

Status step(Engine* engine, const Step* step, Failure* failure) {
  return guarded(failure, [&] { engine->parts->steps.step(*step); });
}

void step_counts(const Engine* engine, StepCounts* counts) {
  *counts = engine->parts->steps.counts();
}

Status copy_block(Engine* engine, int32_t from, int32_t to, Failure* failure) {
  return guarded(failure, [&] { engine->parts->model.cache.copy(engine->launch.stream, from, to); });
}

}  // namespace
}  // namespace mipha::cuda

extern "C" __attribute__((visibility("default"))) const mipha::cuda::Table* mipha_cuda_interface() {
  using namespace mipha::cuda;
  static const Table table{kInterfaceVersion, kSizes, facts,  open,       close,      memory,     set_probe, fits,        resize,
                           set_pixels,        encode, append, candidates, vocabulary, constraint, step,      step_counts, copy_block};
  return &table;
}
