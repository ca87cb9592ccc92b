#include "backend/cpu/cache.h"

#include <cstring>

namespace mipha::cpu {
CacheBlocks::CacheBlocks(Arena& arena, int layers, int blocks, int heads, int head_size)
    : layers_(layers), blocks_(blocks), heads_(heads), head_size_(head_size) {
  base_ = arena.take<half_t>(static_cast<size_t>(layers) * blocks * 2 * part_size());
}

void CacheBlocks::copy(int from, int to) const {
  for (int layer = 0; layer < layers_; ++layer) {
    std::memcpy(part(layer, to, 0), part(layer, from, 0), 2 * part_size() * sizeof(half_t));
  }
}

}  // namespace mipha::cpu
