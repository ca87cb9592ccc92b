// Keys and values on the device: per layer one buffer of rows for each, [rows, kv_heads, head size] f16. Which row belongs to whom: rows.h.
#pragma once

#include <vector>

#include "backend/device.h"
#include "backend/tensorrt/rows.h"
#include "model/config.h"

namespace mipha::tensorrt {

class Cache {
 public:
  /// Layers [first, end) of the model.
  Cache(const Device& device, const LanguageConfig& config, int first, int end, int rows);

  /// Rows that start at an address which a tensor may have: every step-th.
  static int step(const LanguageConfig& config);
  static size_t row_bytes(const LanguageConfig& config) { return static_cast<size_t>(config.kv_width()) * sizeof(uint16_t); }

  void* keys(int layer, int row) const { return keys_[layer - first_].at(row * row_bytes_); }
  void* values(int layer, int row) const { return values_[layer - first_].at(row * row_bytes_); }

  /// Queued. The ranges of a move do not overlap.
  void move(const Device& device, const std::vector<Move>& moves) const;

 private:
  int first_;
  size_t row_bytes_;
  std::vector<DeviceBuffer> keys_, values_;
};

}  // namespace mipha::tensorrt
