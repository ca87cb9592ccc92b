// Memory of the device: counted first, then taken in slabs, and given back together.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mipha::cuda {

/// Hands out pieces of device memory, zeroed on the stream of allocate(), at multiples of 256 bytes. Without allocate() it only counts: what lays
/// itself out twice, once to count and once for real, asks for the same pieces both times.
class DeviceArena {
 public:
  DeviceArena() = default;
  ~DeviceArena();
  DeviceArena(const DeviceArena&) = delete;
  DeviceArena& operator=(const DeviceArena&) = delete;

  template <class T>
  T* take(size_t count) {
    return static_cast<T*>(take_bytes(count * sizeof(T)));
  }
  /// What was taken since the last mark belongs to `name`.
  void mark(const std::string& name);
  const std::vector<std::pair<std::string, int64_t>>& parts() const { return parts_; }
  int64_t total() const;

  /// Takes what `plan` has counted. Jetson hands out large runs of pages unwillingly (cuda.md: requests of 1 GB failed with 6.9 GB free), so the
  /// slabs end where a piece would make them larger than kSlabBytes. Throws kMemory naming the bytes; then nothing is held.
  void allocate(const DeviceArena& plan, cudaStream_t stream);

 private:
  static constexpr size_t kSlabBytes = size_t{128} << 20;
  struct Slab {
    size_t bytes = 0;
    uint8_t* data = nullptr;
  };

  void* take_bytes(size_t bytes);
  void release();

  std::vector<std::pair<std::string, int64_t>> parts_;
  int64_t open_ = 0;  // bytes since the last mark
  std::vector<Slab> slabs_;
  bool real_ = false;
  size_t slab_ = 0, used_ = 0;  // where the next piece goes
};

/// Page-locked memory of the host, which copies of a stream can read and write while the CPU goes on.
template <class T>
class Pinned {
 public:
  explicit Pinned(size_t count);
  ~Pinned();
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  T* data() const { return data_; }
  T& operator[](size_t index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
};

void* allocate_pinned(size_t bytes);
void release_pinned(void* memory) noexcept;

template <class T>
Pinned<T>::Pinned(size_t count) : data_(static_cast<T*>(allocate_pinned(count * sizeof(T)))) {}
template <class T>
Pinned<T>::~Pinned() {
  release_pinned(data_);
}

}  // namespace mipha::cuda
