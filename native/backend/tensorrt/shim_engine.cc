// Engines: a plan in memory, one execution context for each profile, tensors bound by name.
#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "backend/tensorrt/shim.h"

namespace mipha::trt {
namespace {

using Select = nvinfer1::OptProfileSelector;

constexpr size_t kAlignment = 256;  // of every address given to TensorRT

struct Tensor {
  std::string name;
  bool input;
  mipha_trt_type type;
  nvinfer1::Dims dims;                      // −1 where a size depends on the profile or on inputs
  std::vector<nvinfer1::Dims> least, most;  // of each profile; inputs only
  void* placeholder = nullptr;              // where it is while it is empty: TensorRT wants an address, and for each tensor another
};

struct Profile {
  std::unique_ptr<nvinfer1::IExecutionContext> context;
  std::vector<bool> bound;    // of each tensor
  std::vector<bool> nowhere;  // outputs bound to null: run() sees to it that they are empty
  void* scratch = nullptr;    // what the context was given last
  int64_t scratch_bytes = -1;
};

std::string shape(const nvinfer1::Dims& dims) {
  std::string words = "[";
  for (int32_t i = 0; i < dims.nbDims; ++i) words += (i == 0 ? "" : ", ") + std::to_string(dims.d[i]);
  return words + "]";
}

bool is_empty(const nvinfer1::Dims& dims) {
  return std::count(dims.d, dims.d + std::max(dims.nbDims, 0), 0) > 0;
}

mipha_trt_type type_of(nvinfer1::DataType type, const std::string& name) {
  switch (type) {
    case nvinfer1::DataType::kFLOAT:
      return MIPHA_TRT_F32;
    case nvinfer1::DataType::kHALF:
      return MIPHA_TRT_F16;
    case nvinfer1::DataType::kINT32:
      return MIPHA_TRT_I32;
    case nvinfer1::DataType::kINT8:
      return MIPHA_TRT_I8;
    default:
      throw Failure(MIPHA_TRT_PLAN, name + ": expected F32, F16, I32 or I8, received TensorRT's type " + std::to_string(static_cast<int>(type)));
  }
}

/// One input or output of an engine, checked against what interface.h can say about it.
Tensor read_tensor(const nvinfer1::ICudaEngine& engine, const char* name) {
  Tensor tensor;
  tensor.name = name;
  tensor.input = engine.getTensorIOMode(name) == nvinfer1::TensorIOMode::kINPUT;
  tensor.type = type_of(engine.getTensorDataType(name), tensor.name);
  tensor.dims = engine.getTensorShape(name);
  if (tensor.name.size() >= sizeof(mipha_trt_tensor::name)) throw Failure(MIPHA_TRT_PLAN, tensor.name + ": the name is too long");
  if (tensor.dims.nbDims > MIPHA_TRT_DIMS) throw Failure(MIPHA_TRT_PLAN, tensor.name + ": too many dimensions, " + shape(tensor.dims));
  if (engine.getTensorLocation(name) != nvinfer1::TensorLocation::kDEVICE) {
    throw Failure(MIPHA_TRT_PLAN, tensor.name + ": TensorRT wants it in memory of the CPU");
  }
  for (int32_t i = 0; tensor.input && i < engine.getNbOptimizationProfiles(); ++i) {
    const nvinfer1::Dims least = engine.getProfileShape(name, i, Select::kMIN), most = engine.getProfileShape(name, i, Select::kMAX);
    const bool has_range = most.nbDims == tensor.dims.nbDims;  // static inputs may have none
    tensor.least.push_back(has_range ? least : tensor.dims);
    tensor.most.push_back(has_range ? most : tensor.dims);
  }
  return tensor;
}

}  // namespace
}  // namespace mipha::trt

struct mipha_trt_engine {
  mipha_trt& trt;
  const int64_t plan_bytes;
  std::unique_ptr<nvinfer1::ICudaEngine> engine;
  std::vector<mipha::trt::Profile> profiles;
  std::vector<mipha::trt::Tensor> tensors;  // inputs first
  void* placeholders = nullptr;

  mipha_trt_engine(mipha_trt& trt, size_t plan_bytes) : trt(trt), plan_bytes(static_cast<int64_t>(plan_bytes)) {}
  ~mipha_trt_engine() {
    profiles.clear();  // contexts go before their engine
    engine.reset();
    trt.libraries.cuda().cudaFree(placeholders);
  }

  mipha::trt::Profile& profile(int32_t index) {
    if (index >= 0 && static_cast<size_t>(index) < profiles.size()) return profiles[index];
    throw mipha::trt::Failure(MIPHA_TRT_ARGUMENT,
                              "profile: expected 0 to " + std::to_string(profiles.size() - 1) + ", received " + std::to_string(index));
  }
};

namespace mipha::trt {
namespace {

void read_tensors(mipha_trt_engine& engine) {
  const nvinfer1::ICudaEngine& trt_engine = *engine.engine;
  for (int32_t i = 0; i < trt_engine.getNbIOTensors(); ++i) engine.tensors.push_back(read_tensor(trt_engine, trt_engine.getIOTensorName(i)));
  std::stable_partition(engine.tensors.begin(), engine.tensors.end(), [](const Tensor& tensor) { return tensor.input; });

  const Cuda& cuda = engine.trt.libraries.cuda();
  cuda.check(cuda.cudaMalloc(&engine.placeholders, std::max<size_t>(engine.tensors.size(), 1) * kAlignment),
             "cannot allocate places for empty tensors");
  for (size_t i = 0; i < engine.tensors.size(); ++i) engine.tensors[i].placeholder = static_cast<char*>(engine.placeholders) + i * kAlignment;
}

void make_contexts(mipha_trt_engine& engine, uint64_t mark) {
  for (int32_t i = 0; i < engine.engine->getNbOptimizationProfiles(); ++i) {
    Profile profile;
    profile.context.reset(engine.engine->createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED));
    if (profile.context == nullptr || !profile.context->setOptimizationProfileAsync(i, engine.trt.stream)) {
      throw tensorrt_failure(MIPHA_TRT_PLAN, "profile " + std::to_string(i) + ": TensorRT cannot make an execution context", mark);
    }
    profile.bound.assign(engine.tensors.size(), false);
    profile.nowhere.assign(engine.tensors.size(), false);
    engine.profiles.push_back(std::move(profile));
  }
  engine.trt.wait();  // profiles are set on the stream
}

void check_shape(const Tensor& tensor, int32_t profile, const nvinfer1::Dims& dims) {
  const nvinfer1::Dims &least = tensor.least[profile], &most = tensor.most[profile];
  bool fits = dims.nbDims == most.nbDims;
  for (int32_t i = 0; fits && i < dims.nbDims; ++i) fits = dims.d[i] >= least.d[i] && dims.d[i] <= most.d[i];
  if (fits) return;
  throw Failure(MIPHA_TRT_ARGUMENT, tensor.name + ": expected " + shape(least) + " to " + shape(most) + " in profile " + std::to_string(profile) +
                                        ", received " + shape(dims));
}

nvinfer1::Dims dims_of(const int64_t* sizes, int32_t count) {
  nvinfer1::Dims dims{};
  dims.nbDims = std::clamp(count, 0, MIPHA_TRT_DIMS);
  std::copy_n(sizes, dims.nbDims, dims.d);
  return dims;
}

}  // namespace

mipha_trt_status load(mipha_trt* trt, const void* plan, size_t bytes, mipha_trt_engine** out) noexcept {
  return guarded(trt->error, [&] {
    const uint64_t mark = collector().mark();
    if (trt->runtime == nullptr) {
      trt->runtime = trt->libraries.runtime();
      if (trt->runtime == nullptr) throw tensorrt_failure(MIPHA_TRT_UNAVAILABLE, "TensorRT cannot create a runtime", mark);
      trt->runtime->setErrorRecorder(&recorder());
    }
    auto engine = std::make_unique<mipha_trt_engine>(*trt, bytes);
    if (bytes > 0) engine->engine.reset(trt->runtime->deserializeCudaEngine(plan, bytes));
    if (engine->engine == nullptr) {
      throw tensorrt_failure(MIPHA_TRT_PLAN,
                             "TensorRT " + trt->libraries.tensorrt().words() + " cannot load this plan of " + std::to_string(bytes) + " bytes", mark);
    }
    read_tensors(*engine);
    make_contexts(*engine, mark);
    *out = engine.release();
  });
}

void unload(mipha_trt_engine* engine) noexcept {
  delete engine;
}

int32_t profiles(const mipha_trt_engine* engine) noexcept {
  return static_cast<int32_t>(engine->profiles.size());
}

mipha_trt_status describe(mipha_trt_engine* engine, int32_t profile, int32_t index, mipha_trt_tensor* out) noexcept {
  return guarded(engine->trt.error, [&] {
    engine->profile(profile);
    if (index < 0 || static_cast<size_t>(index) >= engine->tensors.size()) {
      throw Failure(MIPHA_TRT_ARGUMENT,
                    "tensor: expected 0 to " + std::to_string(engine->tensors.size() - 1) + ", received " + std::to_string(index));
    }
    const Tensor& tensor = engine->tensors[index];
    *out = {};
    std::snprintf(out->name, sizeof out->name, "%s", tensor.name.c_str());
    out->input = tensor.input ? 1 : 0;
    out->type = tensor.type;
    out->dims = tensor.dims.nbDims;
    std::copy_n(tensor.input ? tensor.least[profile].d : tensor.dims.d, out->dims, out->least);
    std::copy_n(tensor.input ? tensor.most[profile].d : tensor.dims.d, out->dims, out->most);
  });
}

int64_t scratch_bytes(const mipha_trt_engine* engine) noexcept {
  return engine->engine->getDeviceMemorySizeV2();
}

/// TensorRT 10.3 does not tell; a plan is its weights and little else.
int64_t weight_bytes(const mipha_trt_engine* engine) noexcept {
  return engine->plan_bytes;
}

mipha_trt_status bind(mipha_trt_engine* engine, int32_t index, const char* name, const int64_t* dims, int32_t count, void* device) noexcept {
  return guarded(engine->trt.error, [&] {
    Profile& profile = engine->profile(index);
    const auto found = std::find_if(engine->tensors.begin(), engine->tensors.end(), [&](const Tensor& tensor) { return tensor.name == name; });
    if (found == engine->tensors.end()) throw Failure(MIPHA_TRT_ARGUMENT, std::string(name) + ": the engine has no such tensor");
    const Tensor& tensor = *found;
    if (tensor.input != (dims != nullptr)) {
      throw Failure(MIPHA_TRT_ARGUMENT, tensor.name + (tensor.input ? ": an input needs its shape" : ": an output gets its shape from the inputs"));
    }
    if (reinterpret_cast<uintptr_t>(device) % kAlignment != 0) {
      throw Failure(MIPHA_TRT_ARGUMENT, tensor.name + ": expected an address aligned to " + std::to_string(kAlignment) + " bytes");
    }

    const uint64_t mark = collector().mark();
    bool empty = false;
    if (tensor.input) {
      if (count > MIPHA_TRT_DIMS) throw Failure(MIPHA_TRT_ARGUMENT, tensor.name + ": too many dimensions, " + std::to_string(count));
      const nvinfer1::Dims wanted = dims_of(dims, count);
      check_shape(tensor, index, wanted);
      empty = is_empty(wanted);
      if (device == nullptr && !empty) throw Failure(MIPHA_TRT_ARGUMENT, tensor.name + ": " + shape(wanted) + " needs an address");
      if (!profile.context->setInputShape(name, wanted)) {
        throw tensorrt_failure(MIPHA_TRT_ARGUMENT, tensor.name + ": TensorRT refuses the shape " + shape(wanted), mark);
      }
    }
    void* const address = empty || device == nullptr ? tensor.placeholder : device;
    if (!profile.context->setTensorAddress(name, address))
      throw tensorrt_failure(MIPHA_TRT_DEVICE, tensor.name + ": TensorRT refuses the address", mark);
    profile.bound[found - engine->tensors.begin()] = true;
    profile.nowhere[found - engine->tensors.begin()] = !tensor.input && device == nullptr;
  });
}

mipha_trt_status run(mipha_trt_engine* engine, int32_t index, void* scratch, int64_t bytes) noexcept {
  return guarded(engine->trt.error, [&] {
    const uint64_t mark = collector().mark();
    Profile& profile = engine->profile(index);
    for (size_t i = 0; i < engine->tensors.size(); ++i) {
      const std::string& name = engine->tensors[i].name;
      if (!profile.bound[i]) throw Failure(MIPHA_TRT_ARGUMENT, name + " is not bound in profile " + std::to_string(index));
      if (!profile.nowhere[i]) continue;
      const nvinfer1::Dims dims = profile.context->getTensorShape(name.c_str());
      if (!is_empty(dims)) throw Failure(MIPHA_TRT_ARGUMENT, name + ": " + shape(dims) + " needs an address");
    }

    const int64_t needed = engine->engine->getDeviceMemorySizeForProfileV2(index);
    if (bytes < needed || (scratch == nullptr && needed > 0)) {
      throw Failure(MIPHA_TRT_ARGUMENT, "scratch: expected " + std::to_string(needed) + " bytes for profile " + std::to_string(index) +
                                            ", received " + std::to_string(scratch == nullptr ? 0 : bytes));
    }
    if (scratch != profile.scratch || bytes != profile.scratch_bytes) {
      profile.context->setDeviceMemoryV2(scratch, bytes);
      profile.scratch = scratch;
      profile.scratch_bytes = bytes;
    }
    if (!profile.context->enqueueV3(engine->trt.stream)) {
      throw tensorrt_failure(MIPHA_TRT_DEVICE, "profile " + std::to_string(index) + ": TensorRT cannot run", mark);
    }
  });
}

}  // namespace mipha::trt
