#include "backend/cuda/runtime/pictures.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/runtime/failure.h"

namespace mipha::cuda {
namespace {

/// Bytes of a picture that has passed check(): its last row may end at its last pixel.
size_t bytes_of(const Image& image) {
  const size_t rows = image.format == PixelFormat::kNv12 ? static_cast<size_t>(image.height) * 3 / 2 : image.height;
  return std::min(image.bytes, rows * static_cast<size_t>(image.stride));
}

}  // namespace

Pictures::Pictures(DeviceArena& arena, const Config& config, const Launch& launch)
    : config_(config),
      launch_(launch),
      image_(arena.take<uint8_t>(kMostBytes)),
      between_(arena.take<uint8_t>(kMostBetween)),
      table_(arena.take<int32_t>(kMostTable)),
      image_host_(kMostBytes) {
  arena.mark("pictures");
}

void Pictures::plan(const Image& image) {
  if (width_ == image.width && plan_.height == image.height && plan_.stride == image.stride && plan_.format == image.format) return;
  plan_ = plan_resize(image, config_.vision.image_size, config_.preprocessing);
  width_ = image.width;
  uploaded_ = false;
}

bool Pictures::fits(const Image& image) {
  if (bytes_of(image) > kMostBytes) return false;
  plan(image);
  return plan_.between_bytes() <= kMostBetween && plan_.table.size() <= kMostTable;
}

void Pictures::resize(const Image& image, uint8_t* pixels) {
  plan(image);
  if (!uploaded_) {
    check(cudaMemcpyAsync(table_, plan_.table.data(), plan_.table.size() * sizeof(int32_t), cudaMemcpyHostToDevice, launch_.stream), "picture");
    uploaded_ = true;
  }
  std::memcpy(image_host_.data(), image.data, bytes_of(image));
  check(cudaMemcpyAsync(image_, image_host_.data(), bytes_of(image), cudaMemcpyHostToDevice, launch_.stream), "picture");
  check(cuda::resize(launch_, plan_, table_, image_, between_, pixels), "picture");
  check(cudaStreamSynchronize(launch_.stream), "picture");
}

}  // namespace mipha::cuda
