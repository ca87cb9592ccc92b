// Builder, runtime and engines for the text format of fake_graph.h. FAKE_TENSORRT_VERSION ("10.13.3.9") is the version it says it has,
// FAKE_TENSORRT_THROW ("bad_alloc" or "other") what creating a runtime throws, FAKE_TENSORRT_NO_BUILDER (any value) makes creating a builder fail.
#include <NvInfer.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <set>
#include <thread>

#include "fake_graph.h"

namespace {

using fake::Graph;
using nvinfer1::Dims;
using Severity = nvinfer1::ILogger::Severity;

constexpr const char* kPlanEnd = "end_of_plan";

nvinfer1::ILogger* logger = nullptr;  // the first one, as TensorRT does it

std::string version() {
  const char* const value = std::getenv("FAKE_TENSORRT_VERSION");
  return value != nullptr ? value : std::to_string(NV_TENSORRT_MAJOR) + ".3.0.30";
}

int32_t version_part(int index) {
  std::istringstream parts(version());
  std::string part;
  for (int i = 0; i <= index; ++i) std::getline(parts, part, '.');
  return std::stoi(part);
}

void fail(nvinfer1::IErrorRecorder* recorder, const std::string& words, nvinfer1::ErrorCode code = nvinfer1::ErrorCode::kINTERNAL_ERROR) {
  logger->log(Severity::kERROR, ("Error Code 2: " + words).c_str());
  if (recorder != nullptr) recorder->reportError(code, words.c_str());
}

struct Memory final : nvinfer1::IHostMemory {
  mutable std::string bytes;
  explicit Memory(std::string bytes) : bytes(std::move(bytes)) {}
  void* data() const noexcept override { return bytes.data(); }
  size_t size() const noexcept override { return bytes.size(); }
};

struct TimingCache final : nvinfer1::ITimingCache {
  mutable int entries = 0;  // one for each build
  nvinfer1::IHostMemory* serialize() const noexcept override { return new Memory("timing " + version() + " " + std::to_string(entries)); }
};

struct Profile final : nvinfer1::IOptimizationProfile {
  std::map<std::string, fake::Range> ranges;
  bool setDimensions(const char* input, nvinfer1::OptProfileSelector select, const Dims& dims) noexcept override {
    fake::Range& range = ranges[input];
    (select == nvinfer1::OptProfileSelector::kMIN ? range.least : select == nvinfer1::OptProfileSelector::kOPT ? range.usual : range.most) = dims;
    if (select != nvinfer1::OptProfileSelector::kMAX) return true;
    return std::equal(dims.d, dims.d + dims.nbDims, range.least.d, [](int64_t most, int64_t least) { return most >= least; });
  }
};

struct Config final : nvinfer1::IBuilderConfig {
  size_t workspace = 0;
  int32_t level = -1;
  nvinfer1::IProgressMonitor* monitor = nullptr;
  std::vector<const Profile*> profiles;
  const TimingCache* cache = nullptr;

  void setMemoryPoolLimit(nvinfer1::MemoryPoolType, size_t bytes) noexcept override { workspace = bytes; }
  void setBuilderOptimizationLevel(int32_t value) noexcept override { level = value; }
  void setProgressMonitor(nvinfer1::IProgressMonitor* value) noexcept override { monitor = value; }
  int32_t addOptimizationProfile(const nvinfer1::IOptimizationProfile* profile) noexcept override {
    profiles.push_back(static_cast<const Profile*>(profile));
    return static_cast<int32_t>(profiles.size()) - 1;
  }
  int32_t getNbOptimizationProfiles() const noexcept override { return static_cast<int32_t>(profiles.size()); }
  nvinfer1::ITimingCache* createTimingCache(const void* blob, size_t bytes) const noexcept override {
    auto cache = std::make_unique<TimingCache>();
    if (bytes == 0) return cache.release();
    const std::string text(static_cast<const char*>(blob), bytes), head = "timing " + version() + " ";
    if (text.rfind(head, 0) != 0) {
      logger->log(Severity::kERROR, "the timing cache is of another version");
      return nullptr;
    }
    cache->entries = std::stoi(text.substr(head.size()));
    return cache.release();
  }
  bool setTimingCache(const nvinfer1::ITimingCache& value, bool) noexcept override {
    cache = static_cast<const TimingCache*>(&value);
    return true;
  }
};

struct Builder final : nvinfer1::IBuilder {
  nvinfer1::IErrorRecorder* recorder = nullptr;
  std::vector<std::unique_ptr<Profile>> profiles;

  void setErrorRecorder(nvinfer1::IErrorRecorder* value) noexcept override { recorder = value; }
  nvinfer1::INetworkDefinition* createNetworkV2(nvinfer1::NetworkDefinitionCreationFlags flags) noexcept override {
    auto* const network = new fake::Network;
    network->flags = flags;
    return network;
  }
  nvinfer1::IBuilderConfig* createBuilderConfig() noexcept override { return new Config; }
  nvinfer1::IOptimizationProfile* createOptimizationProfile() noexcept override { return profiles.emplace_back(std::make_unique<Profile>()).get(); }
  nvinfer1::IHostMemory* buildSerializedNetwork(nvinfer1::INetworkDefinition& network, nvinfer1::IBuilderConfig& config) noexcept override {
    nvinfer1::IHostMemory* plan = nullptr;
    std::thread([&] { plan = build(static_cast<fake::Network&>(network), static_cast<Config&>(config)); }).join();  // TensorRT has threads as well
    return plan;
  }

 private:
  /// Two steps, the first of which is a phase of four; false when the monitor ends it.
  static bool pass_phases(nvinfer1::IProgressMonitor& monitor) {
    bool go_on = true;
    monitor.phaseStart("building", nullptr, 2);
    monitor.phaseStart("timing tactics", "building", 4);
    for (int step = 0; go_on && step < 4; ++step) go_on = monitor.stepComplete("timing tactics", step);
    monitor.phaseFinish("timing tactics");
    for (int step = 0; go_on && step < 2; ++step) go_on = monitor.stepComplete("building", step);
    monitor.phaseFinish("building");
    return go_on;
  }

  Memory* build(const fake::Network& network, const Config& config) {
    logger->log(Severity::kWARNING, "this is only a warning");
    if (config.cache != nullptr) ++config.cache->entries;
    if (config.monitor != nullptr && !pass_phases(*config.monitor)) {
      fail(recorder, "the build was stopped");
      return nullptr;
    }
    const Graph& graph = *network.graph;
    if (const auto words = graph.failures.find("unbuildable"); words != graph.failures.end()) {
      fail(recorder, words->second);
      return nullptr;
    }
    if (graph.failures.count("out_of_memory") != 0) {
      fail(recorder, "requested size was 4096 bytes", nvinfer1::ErrorCode::kFAILED_ALLOCATION);
      return nullptr;
    }
    const char* const switches = std::getenv("__LUNOWUD");
    std::ostringstream plan;
    plan << "fake plan " << version() << "\n# flags " << network.flags << " level " << config.level << " workspace " << config.workspace
         << " switches " << (switches == nullptr ? "none" : switches) << "\n"
         << graph.text;
    for (const Profile* profile : config.profiles) {
      plan << "\nnext_profile\n";
      for (const auto& [name, range] : profile->ranges) {
        plan << "profile " << name;
        for (const Dims& dims : {range.least, range.usual, range.most}) {
          for (int32_t i = 0; i < dims.nbDims; ++i) plan << " " << dims.d[i];
        }
        plan << "\n";
      }
    }
    plan << "\n" << kPlanEnd << "\n";
    return new Memory(plan.str());
  }
};

struct Engine;

struct Context final : nvinfer1::IExecutionContext {
  Engine& engine;
  int32_t profile = 0;
  std::map<std::string, Dims> shapes;
  std::map<std::string, void*> addresses;
  void* memory = nullptr;
  int64_t memory_bytes = 0;

  explicit Context(Engine& engine) : engine(engine) {}
  bool setOptimizationProfileAsync(int32_t index, cudaStream_t) noexcept override { return profile = index, true; }
  bool setInputShape(const char* name, const Dims& dims) noexcept override { return shapes[name] = dims, true; }
  bool setTensorAddress(const char* name, void* data) noexcept override { return addresses[name] = data, true; }
  Dims getTensorShape(const char* name) const noexcept override;
  void setDeviceMemoryV2(void* address, int64_t bytes) noexcept override { memory = address, memory_bytes = bytes; }
  bool enqueueV3(cudaStream_t) noexcept override;
};

struct Engine final : nvinfer1::ICudaEngine {
  Graph graph;
  nvinfer1::IErrorRecorder* const recorder;

  Engine(const std::string& plan, nvinfer1::IErrorRecorder* recorder) : graph(plan), recorder(recorder) {
    if (graph.profiles.empty()) graph.profiles.emplace_back();
  }
  int32_t getNbIOTensors() const noexcept override { return static_cast<int32_t>(graph.tensors.size()); }
  const char* getIOTensorName(int32_t index) const noexcept override { return graph.tensors[index]->name.c_str(); }
  nvinfer1::TensorIOMode getTensorIOMode(const char* name) const noexcept override {
    return graph.find(name)->input ? nvinfer1::TensorIOMode::kINPUT : nvinfer1::TensorIOMode::kOUTPUT;
  }
  nvinfer1::DataType getTensorDataType(const char* name) const noexcept override { return graph.find(name)->type; }
  Dims getTensorShape(const char* name) const noexcept override { return graph.find(name)->dims; }
  nvinfer1::TensorLocation getTensorLocation(const char*) const noexcept override { return nvinfer1::TensorLocation::kDEVICE; }
  int32_t getNbOptimizationProfiles() const noexcept override { return static_cast<int32_t>(graph.profiles.size()); }
  Dims getProfileShape(const char* name, int32_t profile, nvinfer1::OptProfileSelector select) const noexcept override {
    const auto range = graph.profiles[profile].find(name);
    if (range == graph.profiles[profile].end()) return {-1, {}};
    return select == nvinfer1::OptProfileSelector::kMIN ? range->second.least : range->second.most;
  }
  int64_t getDeviceMemorySizeForProfileV2(int32_t profile) const noexcept override { return 4096 >> profile; }
  int64_t getDeviceMemorySizeV2() const noexcept override { return 4096; }
  nvinfer1::IExecutionContext* createExecutionContext(nvinfer1::ExecutionContextAllocationStrategy strategy) noexcept override {
    return strategy == nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED ? new Context(*this) : nullptr;
  }
};

Dims Context::getTensorShape(const char* name) const noexcept {
  const auto shape = shapes.find(engine.graph.find(name)->input ? name : engine.graph.first_input());
  return shape == shapes.end() ? engine.graph.find(name)->dims : shape->second;
}

bool Context::enqueueV3(cudaStream_t) noexcept {
  const auto refuse = [&](const std::string& words) { return fail(engine.recorder, words), false; };
  if (const auto words = engine.graph.failures.find("unrunnable"); words != engine.graph.failures.end()) return refuse(words->second);
  if (memory == nullptr || memory_bytes < engine.getDeviceMemorySizeForProfileV2(profile)) return refuse("device memory was not set");
  std::memset(memory, 0xCD, static_cast<size_t>(memory_bytes));
  std::set<void*> seen;
  for (const auto& tensor : engine.graph.tensors) {
    void* const address = addresses[tensor->name];
    if (address == nullptr || reinterpret_cast<uintptr_t>(address) % 256 != 0) return refuse(tensor->name + " has no aligned address");
    if (!seen.insert(address).second) return refuse(tensor->name + " shares its address");
  }
  const std::string& first = engine.graph.first_input();
  const Dims shape = getTensorShape(first.c_str());
  size_t count = 1;
  for (int32_t i = 0; i < shape.nbDims; ++i) count *= static_cast<size_t>(shape.d[i]);
  for (const auto& tensor : engine.graph.tensors) {
    if (tensor->input) continue;
    const float* const from = static_cast<const float*>(addresses[first]);
    std::transform(from, from + count, static_cast<float*>(addresses[tensor->name]), [](float x) { return 2 * x; });
  }
  return true;
}

struct Runtime final : nvinfer1::IRuntime {
  nvinfer1::IErrorRecorder* recorder = nullptr;
  void setErrorRecorder(nvinfer1::IErrorRecorder* value) noexcept override { recorder = value; }
  nvinfer1::ICudaEngine* deserializeCudaEngine(const void* blob, size_t bytes) noexcept override {
    const std::string plan(static_cast<const char*>(blob), bytes), head = "fake plan " + version() + "\n";
    const std::string end = std::string("\n") + kPlanEnd + "\n";
    if (plan.rfind(head, 0) != 0) return fail(recorder, "the plan was built by another version"), nullptr;
    if (plan.size() < end.size() || plan.substr(plan.size() - end.size()) != end) return fail(recorder, "the plan ends too early"), nullptr;
    return new Engine(plan.substr(head.size(), plan.size() - head.size() - end.size()), recorder);
  }
};

}  // namespace

extern "C" {

int32_t getInferLibMajorVersion() noexcept {
  return version_part(0);
}
int32_t getInferLibMinorVersion() noexcept {
  return version_part(1);
}
int32_t getInferLibPatchVersion() noexcept {
  return version_part(2);
}
int32_t getInferLibBuildVersion() noexcept {
  return version_part(3);
}

void* createInferBuilder_INTERNAL(void* given, int32_t) {
  if (logger == nullptr) logger = static_cast<nvinfer1::ILogger*>(given);
  if (std::getenv("FAKE_TENSORRT_NO_BUILDER") == nullptr) return static_cast<nvinfer1::IBuilder*>(new Builder);
  fail(nullptr, "libnvinfer_builder_resource.so.10.3.0 cannot be loaded");
  return nullptr;
}

void* createInferRuntime_INTERNAL(void* given, int32_t) {
  if (logger == nullptr) logger = static_cast<nvinfer1::ILogger*>(given);
  const char* const thrown = std::getenv("FAKE_TENSORRT_THROW");
  if (thrown != nullptr && std::string(thrown) == "bad_alloc") throw std::bad_alloc();
  if (thrown != nullptr) throw 7;
  return static_cast<nvinfer1::IRuntime*>(new Runtime);
}
}
