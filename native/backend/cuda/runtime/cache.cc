#include "backend/cuda/runtime/cache.h"

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {

DeviceCache::DeviceCache(DeviceArena& arena, int layers, int blocks, int kv_heads, int head_size)
    : kv_heads_(kv_heads), head_size_(head_size), block_halves_(int64_t{2} * kv_heads * kBlockRows * head_size) {
  for (int i = 0; i < layers; ++i) layers_.push_back(arena.take<__half>(static_cast<size_t>(blocks) * block_halves_));
}

void DeviceCache::copy(cudaStream_t stream, int from, int to) const {
  for (__half* const layer : layers_) {
    check(cudaMemcpyAsync(layer + to * block_halves_, layer + from * block_halves_, static_cast<size_t>(block_halves_) * sizeof(__half),
                          cudaMemcpyDeviceToDevice, stream),
          "copy of a block");
  }
}

}  // namespace mipha::cuda
