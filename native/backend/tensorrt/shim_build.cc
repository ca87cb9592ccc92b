// build(): an .onnx file in, a plan out.
#include <cstdlib>
#include <optional>

#include "backend/tensorrt/shim.h"
#include "backend/tensorrt/shim_files.h"
#include "backend/tensorrt/shim_progress.h"

namespace mipha::trt {
namespace {

/// TensorRT's undocumented switches, for the time of a build. An environment belongs to the whole process: builds do not run beside each other.
class Switches {
 public:
  explicit Switches(const char* value) : set_(value != nullptr) {
    if (!set_) return;
    if (const char* before = std::getenv(kName)) before_ = before;
    setenv(kName, value, 1);
  }
  ~Switches() {
    if (!set_) return;
    if (before_) {
      setenv(kName, before_->c_str(), 1);
    } else {
      unsetenv(kName);
    }
  }
  Switches(const Switches&) = delete;
  Switches& operator=(const Switches&) = delete;

 private:
  static constexpr const char* kName = "__LUNOWUD";
  const bool set_;
  std::optional<std::string> before_;
};

constexpr nvinfer1::NetworkDefinitionCreationFlags strongly_typed() {
#if NV_TENSORRT_MAJOR < 11
  return 1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
#else
  return 0;  // every network is
#endif
}

std::string text(const char* words) {
  return words == nullptr ? "" : words;
}

void parse(nvonnxparser::IParser& parser, const char* graph, uint64_t mark) {
  if (parser.parseFromFile(graph, static_cast<int>(nvinfer1::ILogger::Severity::kERROR))) return;
  std::string words = std::string(graph) + " was refused";
  for (int i = 0; i < parser.getNbErrors(); ++i) {
    const nvonnxparser::IParserError& error = *parser.getError(i);
    words += "\n";
    if (error.node() >= 0) words += "node " + std::to_string(error.node()) + " " + text(error.nodeName()) + " (" + text(error.nodeOperator()) + "): ";
    words += text(error.desc());
  }
  throw tensorrt_failure(MIPHA_TRT_BUILD, words, mark);
}

bool has_input(const nvinfer1::INetworkDefinition& network, const std::string& name) {
  for (int32_t i = 0; i < network.getNbInputs(); ++i) {
    if (name == network.getInput(i)->getName()) return true;
  }
  return false;
}

nvinfer1::Dims dims_of(const int64_t* sizes, int32_t count) {
  nvinfer1::Dims dims{};
  dims.nbDims = count;
  for (int32_t i = 0; i < count; ++i) dims.d[i] = sizes[i];
  return dims;
}

void add_profile(nvinfer1::IBuilder& builder, nvinfer1::INetworkDefinition& network, nvinfer1::IBuilderConfig& config,
                 const mipha_trt_profile& wanted, uint64_t mark) {
  using Select = nvinfer1::OptProfileSelector;
  const std::string where = "profile " + std::to_string(config.getNbOptimizationProfiles()) + ": ";
  nvinfer1::IOptimizationProfile* const profile = builder.createOptimizationProfile();  // the builder's
  if (profile == nullptr) throw tensorrt_failure(MIPHA_TRT_BUILD, where + "cannot be made", mark);
  for (int32_t i = 0; i < wanted.count; ++i) {
    const mipha_trt_range& range = wanted.ranges[i];
    if (!has_input(network, range.name)) throw Failure(MIPHA_TRT_ARGUMENT, where + "the graph has no input " + range.name);
    if (range.dims < 0 || range.dims > MIPHA_TRT_DIMS) {
      throw Failure(MIPHA_TRT_ARGUMENT,
                    where + range.name + ": expected 0 to " + std::to_string(MIPHA_TRT_DIMS) + " dimensions, received " + std::to_string(range.dims));
    }
    const bool taken = profile->setDimensions(range.name, Select::kMIN, dims_of(range.least, range.dims)) &&
                       profile->setDimensions(range.name, Select::kOPT, dims_of(range.usual, range.dims)) &&
                       profile->setDimensions(range.name, Select::kMAX, dims_of(range.most, range.dims));
    if (!taken) throw tensorrt_failure(MIPHA_TRT_ARGUMENT, where + range.name + ": these sizes are not least, usual, most", mark);
  }
  if (config.addOptimizationProfile(profile) < 0) throw tensorrt_failure(MIPHA_TRT_BUILD, where + "was refused", mark);
}

/// What earlier builds measured; one of another TensorRT or another GPU is left out and written anew.
std::unique_ptr<nvinfer1::ITimingCache> use_timing_cache(nvinfer1::IBuilderConfig& config, const char* path) {
  const std::vector<char> stored = read_file(path);
  std::unique_ptr<nvinfer1::ITimingCache> cache(config.createTimingCache(stored.data(), stored.size()));
  if (cache != nullptr && config.setTimingCache(*cache, false)) return cache;
  cache.reset(config.createTimingCache(nullptr, 0));
  if (cache != nullptr) config.setTimingCache(*cache, false);
  return cache;
}

/// Also after a build that failed: the next one is shorter. Without the file a build only takes longer, so failing to write it is no failure.
void keep_timing_cache(const nvinfer1::ITimingCache* cache, const std::string& path) {
  const std::unique_ptr<nvinfer1::IHostMemory> bytes(cache == nullptr ? nullptr : cache->serialize());
  if (bytes == nullptr) return;
  try {
    const std::string part = path + ".part";
    write_file(part, bytes->data(), bytes->size());
    std::rename(part.c_str(), path.c_str());
  } catch (const Failure&) {
  }
}

void build_plan(const mipha_trt& trt, const mipha_trt_build& what, Progress& progress) {
  if (what.level < 0 || what.level > 5) throw Failure(MIPHA_TRT_ARGUMENT, "level: expected 0 to 5, received " + std::to_string(what.level));
  const auto stop_if_cancelled = [&] {
    if (progress.cancelled()) throw Failure(MIPHA_TRT_CANCELLED, std::string(what.graph) + ": the build was cancelled");
  };
  const uint64_t mark = collector().mark();
  const Switches switches(what.switches);

  const auto builder = trt.libraries.builder();
  if (builder == nullptr) {
    throw tensorrt_failure(MIPHA_TRT_UNAVAILABLE, "TensorRT " + trt.libraries.tensorrt().words() + " cannot create a builder", mark);
  }
  builder->setErrorRecorder(&recorder());
  const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(strongly_typed()));
  const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
  if (network == nullptr || config == nullptr) throw tensorrt_failure(MIPHA_TRT_BUILD, "TensorRT cannot create a network", mark);
  const auto parser = trt.libraries.parser(*network);
  if (parser == nullptr) throw tensorrt_failure(MIPHA_TRT_UNAVAILABLE, "TensorRT cannot create an ONNX parser", mark);

  progress.report("reading the graph");
  stop_if_cancelled();
  parse(*parser, what.graph, mark);

  config->setMemoryPoolLimit(nvinfer1::MemoryPoolType::kWORKSPACE, static_cast<size_t>(what.workspace_bytes));
  config->setBuilderOptimizationLevel(what.level);
  config->setProgressMonitor(&progress);
  for (int32_t i = 0; i < what.profile_count; ++i) add_profile(*builder, *network, *config, what.profiles[i], mark);

  std::unique_ptr<nvinfer1::ITimingCache> timing;
  if (what.timing_cache != nullptr) timing = use_timing_cache(*config, what.timing_cache);
  const uint64_t building = collector().mark();  // a timing cache that was not taken has been logged as an error
  const std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
  if (what.timing_cache != nullptr) keep_timing_cache(timing.get(), what.timing_cache);
  stop_if_cancelled();
  if (plan == nullptr || plan->size() == 0) throw tensorrt_failure(MIPHA_TRT_BUILD, std::string(what.graph) + ": no engine could be built", building);
  progress.report("writing the plan");
  stop_if_cancelled();
  write_file(what.plan, plan->data(), plan->size());
}

}  // namespace

mipha_trt_status build(mipha_trt* trt, const mipha_trt_build* what, mipha_trt_progress callback, void* user) noexcept {
  return guarded(trt->error, [&] {
    Progress progress(callback, user);
    build_plan(*trt, *what, progress);
  });
}

}  // namespace mipha::trt
