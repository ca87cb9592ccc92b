// What stands before the layers: a picture resized and cut into patches, their embedding, ids looked up.
#include <string>

#include "bench/gpu/device.h"
#include "bench/gpu/probes.h"

namespace mipha::cuda::bench {
namespace {

/// A picture in memory of the device, of no colour.
void resized(Device& device, const char* name, PixelFormat format, int width, int height, int stride) {
  const Config& config = device.sizes().config;
  const Launch& launch = device.launch();
  const int side = config.vision.image_size;
  const size_t bytes = static_cast<size_t>(stride) * (format == PixelFormat::kNv12 ? height * 3 / 2 : height);
  const ResizePlan plan = plan_resize({nullptr, bytes, width, height, stride, format}, side, config.preprocessing);
  const auto* const image = device.zeros<uint8_t>(bytes);
  auto* const between = device.zeros<uint8_t>(plan.between_bytes());
  auto* const pixels = device.zeros<uint8_t>(size_t{3} * side * side);
  const int32_t* const table = device.copy(plan.table);
  const std::string of = std::to_string(width) + " x " + std::to_string(height) + " to " + std::to_string(side);
  device.kernel(name, of, {static_cast<double>(bytes) + 3.0 * side * side, 0, Format::kF16},
                [&](int) { return resize(launch, plan, table, image, between, pixels); });
}

void tower_input(Device& device) {
  const Config& config = device.sizes().config;
  const VisionConfig& c = config.vision;
  const Launch& launch = device.launch();
  const auto* const pixels = device.zeros<uint8_t>(size_t{3} * c.image_size * c.image_size);
  const Matrix weight = device.matrix(c.hidden, c.patch_values(), Format::kF16);
  const Operand in{device.bytes(size_t(c.patches()) * weight.depth * sizeof(__half)), device.floats(c.patches(), 1), weight.depth, true};
  auto* const x = device.floats(size_t(c.patches()) * c.hidden, 1);
  const float* const positions = device.floats(size_t(c.patches()) * c.hidden, 1);
  const float *const gain = device.floats(c.hidden, 1), *const bias = device.floats(c.hidden, 1);
  const std::string of = std::to_string(c.patches()) + " x ", rows = of + std::to_string(c.hidden);
  const double values = double(c.patches()) * c.patch_values(), wide = double(c.patches()) * c.hidden;
  device.kernel("patches", of + std::to_string(c.patch_values()), {values * 3, 0, Format::kF16},
                [&](int) { return patchify(launch, config, pixels, in); });
  const Work product{2.0 * c.hidden * c.patch_values(), 2 * values * c.hidden, Format::kF16};
  device.kernel("patch embedding", shape(c.patches(), c.hidden, c.patch_values()), product, [&](int) {
    return matmul(launch, in, c.patches(), weight, Store{x, c.hidden});
  });
  device.kernel("positions", rows, {wide * 12, 0, Format::kF16}, [&](int) { return add_positions(launch, c, nullptr, positions, x); });
  device.kernel("norm in place", rows, {wide * 8, 0, Format::kF16}, [&](int) {
    return normalize(launch, Normed{x, c.hidden, c.patches(), c.hidden, c.norm, c.epsilon, gain, bias}, x, c.hidden);
  });
}

void rows_of_ids(Device& device) {
  const LanguageConfig& c = device.sizes().config.language;
  const Launch& launch = device.launch();
  const int rows = device.sizes().prompt_rows;
  auto* const table = static_cast<int8_t*>(device.bytes(size_t(c.vocab) * c.hidden));
  check(fill_bytes(table, size_t(c.vocab) * c.hidden, launch.stream), "fill");
  const Embedding embedding{DType::kI8, table, device.floats(c.vocab, 1), c.hidden};
  std::vector<int32_t> ids;
  for (int row = 0; row < rows; ++row) ids.push_back(row * 61 % c.tokens);
  const int32_t* const asked = device.copy(ids);
  auto* const x = device.floats(size_t(rows) * c.hidden, 1);
  device.kernel("embedding", std::to_string(rows) + " x " + std::to_string(c.hidden), {double(rows) * c.hidden * 5, 0, Format::kF16},
                [&](int) { return embed(launch, embedding, asked, nullptr, rows, x); });
}

/// LDPv2 needs an even grid: that of a tower of 24 × 24 patches, as MobileVLM V2 has it.
void pooled(Device& device) {
  Config config = device.sizes().config;
  config.projector.pooled = true;
  if (config.vision.grid() > 24) config.vision.image_size = 24 * config.vision.patch_size;
  const int patches = config.vision.patches(), hidden = config.language.hidden;
  const float *const weight = device.floats(size_t{9} * hidden, 1), *const bias = device.floats(hidden, 1);
  const float* const projected = device.floats(size_t(patches) * hidden, 1);
  auto* const features = device.floats(size_t(patches) / 4 * hidden, 1);
  device.kernel("pooling", std::to_string(patches) + " x " + std::to_string(hidden), {double(patches) * hidden * 5, 0, Format::kF16},
                [&](int) { return pool(device.launch(), config, weight, bias, projected, features); });
}

}  // namespace

void measure_pictures(Device& device) {
  const bool small = device.how() == How::kSmall;
  resized(device, "resize RGB", PixelFormat::kRgb, small ? 160 : 640, small ? 120 : 480, small ? 480 : 1920);
  resized(device, "resize NV12", PixelFormat::kNv12, small ? 240 : 1920, small ? 136 : 1080, small ? 240 : 1920);
  tower_input(device);
  rows_of_ids(device);
  pooled(device);
  device.release();
}

}  // namespace mipha::cuda::bench
