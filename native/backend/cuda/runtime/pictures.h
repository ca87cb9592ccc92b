// Pictures as callers have them become the tower's pixels on the device.
#pragma once

#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/runtime/memory.h"

namespace mipha::cuda {

class Pictures {
 public:
  /// Takes the memory that fits() speaks of.
  Pictures(DeviceArena& arena, const Config& config, const Launch& launch);

  /// Whether the memory taken at load holds the picture, which has passed check(); a larger one is resized by the host.
  bool fits(const Image& image);
  /// A picture that fits → pixels of the device, uint8 [image_size, image_size, 3].
  void resize(const Image& image, uint8_t* pixels);

 private:
  static constexpr size_t kMostBytes = size_t{26} << 20;   // 3840 × 2160 in RGB
  static constexpr size_t kMostBetween = size_t{8} << 20;  // rows between the two passes
  static constexpr size_t kMostTable = size_t{1} << 20;    // values: taps and weights of both axes

  void plan(const Image& image);

  const Config& config_;
  const Launch launch_;
  uint8_t *image_, *between_;
  int32_t* table_;
  Pinned<uint8_t> image_host_;
  ResizePlan plan_;  // of the latest picture's kind: a camera's frames are all alike
  int width_ = 0;    // of these
  bool uploaded_ = false;
};

}  // namespace mipha::cuda
