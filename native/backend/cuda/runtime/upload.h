// The way of the weights onto the device: packed by all cores into one half of a page-locked ring while the other is copied, so that neither a second
// copy of the package nor one of its packed form ever exists.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "backend/cuda/runtime/memory.h"
#include "backend/cuda/runtime/pack.h"
#include "core/thread_pool.h"

namespace mipha::cuda {

class Uploader {
 public:
  explicit Uploader(cudaStream_t stream);
  ~Uploader();
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

  /// Throws kModelFormat for a weight of −128.
  void matrix(const Layout& layout, const Linear& linear, void* to);
  void bytes(const void* from, size_t count, void* to);
  /// values by place, see by_place().
  void places(const Layout& layout, const float* values, float* to);
  /// Until everything has arrived.
  void wait();

 private:
  static constexpr size_t kHalfBytes = size_t{16} << 20;

  /// fill(memory, first, last) writes units [first, last) of `unit` bytes; they are copied to `to` one after the other.
  void stream(size_t units, size_t unit, void* to, const std::function<void(uint8_t*, size_t, size_t)>& fill);

  const cudaStream_t stream_;
  ThreadPool pool_;
  Pinned<uint8_t> ring_;
  cudaEvent_t copied_[2] = {};
  int half_ = 0;
};

}  // namespace mipha::cuda
