#include "backend/cuda/runtime/upload.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "backend/cuda/runtime/failure.h"
#include "core/cpu_features.h"

namespace mipha::cuda {

Uploader::Uploader(cudaStream_t stream) : stream_(stream), pool_(physical_cores()), ring_(2 * kHalfBytes) {
  for (cudaEvent_t& event : copied_) check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
}

Uploader::~Uploader() {
  for (const cudaEvent_t event : copied_) {
    cudaEventSynchronize(event);
    cudaEventDestroy(event);
  }
}

void Uploader::stream(size_t units, size_t unit, void* to, const std::function<void(uint8_t*, size_t, size_t)>& fill) {
  if (unit > kHalfBytes) throw Error(Code::kBackend, "CUDA: a matrix has rows of more than " + std::to_string(kHalfBytes / kTileRows) + " bytes");
  const size_t step = kHalfBytes / unit;
  for (size_t first = 0; first < units; first += step) {
    const size_t last = std::min(units, first + step);
    uint8_t* const memory = ring_.data() + half_ * kHalfBytes;
    check(cudaEventSynchronize(copied_[half_]), "upload");
    fill(memory, first, last);
    check(cudaMemcpyAsync(static_cast<uint8_t*>(to) + first * unit, memory, (last - first) * unit, cudaMemcpyHostToDevice, stream_), "upload");
    check(cudaEventRecord(copied_[half_], stream_), "upload");
    half_ = 1 - half_;
  }
}

void Uploader::matrix(const Layout& layout, const Linear& linear, void* to) {
  stream(layout.row_tiles(), layout.row_tile_bytes(), to, [&](uint8_t* memory, size_t first, size_t last) {
    pool_.each(static_cast<int>(last - first), [&](int i, int) {
      const int tile = static_cast<int>(first) + i;
      pack(layout, linear, tile, memory + i * layout.row_tile_bytes());
    });
  });
}

void Uploader::bytes(const void* from, size_t count, void* to) {
  stream(count, 1, to,
         [&](uint8_t* memory, size_t first, size_t last) { std::memcpy(memory, static_cast<const uint8_t*>(from) + first, last - first); });
}

void Uploader::places(const Layout& layout, const float* values, float* to) {
  std::vector<float> ordered(layout.places);
  by_place(layout, values, 0, ordered.data());
  bytes(ordered.data(), ordered.size() * sizeof(float), to);
}

void Uploader::wait() {
  check(cudaStreamSynchronize(stream_), "upload");
}

}  // namespace mipha::cuda
