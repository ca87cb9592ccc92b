#include "backend/tensorrt/cache.h"

#include <numeric>

namespace mipha::tensorrt {
namespace {

constexpr size_t kAlignment = 256;  // bytes, of the address of every tensor (NvInferRuntime.h: setTensorAddress)

}  // namespace

Cache::Cache(const Device& device, const LanguageConfig& config, int first, int end, int rows) : first_(first), row_bytes_(row_bytes(config)) {
  for (int layer = first; layer < end; ++layer) {
    keys_.emplace_back(device, rows * row_bytes_, "keys");
    values_.emplace_back(device, rows * row_bytes_, "values");
  }
}

int Cache::step(const LanguageConfig& config) {
  return static_cast<int>(kAlignment / std::gcd(kAlignment, row_bytes(config)));
}

void Cache::move(const Device& device, const std::vector<Move>& moves) const {
  for (const std::vector<DeviceBuffer>* buffers : {&keys_, &values_}) {
    for (const DeviceBuffer& buffer : *buffers) {
      for (const Move& move : moves) device.copy_inside(buffer.at(move.to * row_bytes_), buffer.at(move.from * row_bytes_), move.count * row_bytes_);
    }
  }
}

}  // namespace mipha::tensorrt
