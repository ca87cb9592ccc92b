#include "backend/cuda/runtime/model.h"

#include <string>
#include <vector>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

Model::Model(DeviceArena& arena, const OpenRequest& request)
    : config(*request.config),
      weights(arena, request),
      cache((arena.mark("weights"), arena), config.language.layers, request.cache_blocks, config.language.kv_heads, config.language.head_size),
      table_width((config.language.context + kBlockRows - 1) / kBlockRows) {
  arena.mark("cache");
}

Normed normed(const BlockConfig& config, const Norm& norm, const float* x, int count) {
  return {x, config.hidden, count, config.hidden, config.norm, config.epsilon, norm.gain, norm.bias};
}

Heads heads(const BlockConfig& config, const DeviceWeights& weights, const CacheLayer& cache, const Place* places, const Tables& tables, float* q) {
  return {q, cache, places, tables, config.heads, config.kv_heads, config.head_size, config.rotary_dims, weights.cosine, weights.sine};
}

void show(const Model& model, const Launch& launch, const char* name, int index, const float* rows, int count, int width) {
  if (model.probe.seen == nullptr) return;
  std::vector<float> values(static_cast<size_t>(count) * width);
  check(cudaMemcpyAsync(values.data(), rows, values.size() * sizeof(float), cudaMemcpyDeviceToHost, launch.stream), "probe");
  check(cudaStreamSynchronize(launch.stream), "probe");
  const std::string full = index < 0 ? name : std::string(name) + "." + std::to_string(index);
  model.probe.seen(model.probe.user, full.c_str(), values.data(), count, width);
}

}  // namespace mipha::cuda
