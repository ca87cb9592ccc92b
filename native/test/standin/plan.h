// The stand-in's plan: what one graph computes, with the weights, for one TensorRT on one GPU. Ends with a checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/tensorrt/interface.h"
#include "test/standin/onnx.h"

namespace mipha::standin {

/// What one input may be in one profile.
struct InputRange {
  std::vector<int64_t> least, most;
};

struct Plan {
  std::string tensorrt, gpu;
  std::string graph;  // "vision" or "language 0 3": layers [0, 3)
  std::string manifest, calibration;
  bool wide = false;   // no input is quantized
  bool wrong = false;  // puts out doubled values
  std::vector<GraphTensor> tensors;
  std::vector<std::vector<InputRange>> profiles;  // [profile][input, in the order of tensors]
  std::vector<uint64_t> weights;                  // bytes of a weights.safetensors, aligned
  uint64_t weight_bytes = 0;                      // of those, without padding

  std::string encode() const;
  /// Throws std::runtime_error when the bytes are damaged.
  static Plan decode(const void* data, size_t bytes);
};

}  // namespace mipha::standin
