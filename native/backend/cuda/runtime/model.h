// What prefill and decode share: the model on the device and what they say about it.
#pragma once

#include <functional>

#include "backend/cuda/interface.h"
#include "backend/cuda/runtime/cache.h"
#include "backend/cuda/runtime/weights.h"

namespace mipha::cuda {

struct Model {
  Model(DeviceArena& arena, const OpenRequest& request);

  const Config config;
  DeviceWeights weights;
  DeviceCache cache;
  const int table_width;  // blocks of a context: a row of the block tables

  struct {
    Seen seen = nullptr;
    void* user = nullptr;
  } probe;
};

/// Rows of x [count, stride] under a norm of a block.
Normed normed(const BlockConfig& config, const Norm& norm, const float* x, int count);

/// q of `rows` new rows and their keys and values at `places`.
Heads heads(const BlockConfig& config, const DeviceWeights& weights, const CacheLayer& cache, const Place* places, const Tables& tables, float* q);

/// Hands a probed model rows of the device, which ends what is queued; nothing without a probe. `index` < 0: none in the name.
void show(const Model& model, const Launch& launch, const char* name, int index, const float* rows, int count, int width);

}  // namespace mipha::cuda
