#include "backend/cuda/supported.h"

#include <algorithm>
#include <utility>

#include "backend/cuda/kernels/layout.h"

namespace mipha::cuda {
namespace {

constexpr int kHeadSizes[] = {64, 72, 80, 128, 256};

std::string unsupported(const std::string& room, const BlockConfig& config) {
  const std::string head = std::to_string(config.head_size);
  if (std::find(std::begin(kHeadSizes), std::end(kHeadSizes), config.head_size) == std::end(kHeadSizes)) {
    return room + ".headSize " + head + ": expected 64, 72, 80, 128 or 256";
  }
  // The two of a rotation stand in one tile.
  if (config.rotary_dims > 0 && (config.rotary_dims % kTileRows != 0 || config.head_size % kTileRows != 0)) {
    return room + ".rotaryDims " + std::to_string(config.rotary_dims) + " of headSize " + head + ": expected multiples of 16";
  }
  // Rows are read 16 bytes at a time.
  for (const auto& [name, width] : {std::pair{"hidden", config.hidden}, std::pair{"intermediate", config.intermediate}}) {
    if (width % 4 != 0) return room + "." + name + " " + std::to_string(width) + ": expected a multiple of 4";
  }
  return "";
}

}  // namespace

std::string unsupported(const Config& config, const Weights& weights) {
  for (const std::string& problem : {unsupported("vision", config.vision), unsupported("language", config.language)}) {
    if (!problem.empty()) return problem;
  }
  std::string wide;
  each_matrix(weights, [&](int, const std::string& name, const Linear& linear) {
    if (linear.dtype == DType::kF32 && wide.empty()) wide = name + " of 32-bit floats: expected INT8 or FP16";
  });
  return wide;
}

}  // namespace mipha::cuda
