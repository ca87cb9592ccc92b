// Keys and values of every layer on the device, in blocks of rows that sequences share (backend/block_tables.h).
#pragma once

#include <vector>

#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/runtime/memory.h"

namespace mipha::cuda {

/// [layer][block][k, v][head][kBlockRows][head_size] halves, a piece of memory per layer.
class DeviceCache {
 public:
  DeviceCache(DeviceArena& arena, int layers, int blocks, int kv_heads, int head_size);

  CacheLayer layer(int index) const { return {layers_[index], block_halves_, kv_heads_, head_size_}; }
  /// All rows of all layers.
  void copy(cudaStream_t stream, int from, int to) const;

 private:
  const int kv_heads_, head_size_;
  const int64_t block_halves_;
  std::vector<__half*> layers_;
};

}  // namespace mipha::cuda
