// What the benchmark has of a device: memory that is filled there, sets of weights, timing, and lines of output.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <string>
#include <vector>

#include "backend/cuda/kernels/kernels.h"
#include "bench/gpu/models.h"

namespace mipha::cuda::bench {

/// Throws std::runtime_error.
void check(cudaError_t error, const char* what);

/// Of the device, as measured in this run; operations per second count multiplications and additions.
struct Limits {
  double bytes_per_second = 0, s8_per_second = 0, f16_per_second = 0;
};

enum class How {
  kLong,   // everything
  kShort,  // the figures that matter, within a minute
  kOnce,   // every kernel once, untimed: for a profiler
  kSmall,  // small sizes: for a rehearsal
};

/// How long something took, in milliseconds.
struct Taken {
  double median = 0, p95 = 0;
};
Taken taken(std::vector<double> milliseconds);
double now_ms();

/// What a kernel must move and compute.
struct Work {
  double bytes = 0, operations = 0;
  Format format = Format::kS8;
};

class Device {
 public:
  explicit Device(How how);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const Launch& launch() const { return launch_; }
  How how() const { return how_; }
  bool all() const { return how_ == How::kLong || how_ == How::kSmall; }
  const Sizes& sizes() const { return sizes_; }
  Limits limits;

  // Memory lasts until release().
  void* bytes(size_t count);
  float* floats(size_t count, float limit);  // within ± limit
  template <class T>
  T* zeros(size_t count) {
    void* const to = bytes(count * sizeof(T));
    check(cudaMemsetAsync(to, 0, count * sizeof(T), launch_.stream), "zeros");
    return static_cast<T*>(to);
  }
  template <class T>
  T* copy(const std::vector<T>& values) {
    void* const to = bytes(values.size() * sizeof(T));
    check(cudaMemcpy(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), "copy");
    return static_cast<T*>(to);
  }
  void release();

  /// Copies that together are more than twice the L2 cache.
  int sets(double bytes_of_one) const;
  Matrix matrix(int out, int in, Format format, const RowOrder& order = {});
  std::vector<Matrix> matrices(int count, int out, int in, Format format, const RowOrder& order = {});
  CacheLayer cache(const BlockConfig& config, int blocks);

  /// Median microseconds of run(0), run(1), ...: as many of them in one graph as take a millisecond or more, divided.
  double microseconds(const std::function<cudaError_t(int)>& run);
  /// Times a kernel and prints it; run(i) may use set i % sets. `before`, where there is one, puts back what the kernel changes: its time does not
  /// count.
  void kernel(const char* name, const std::string& shape, const Work& work, const std::function<cudaError_t(int)>& run,
              const std::function<cudaError_t(int)>& before = nullptr);
  /// Prints what a model does in `taken`. `bytes` that it must read, 0 where that is not what bounds it; `tokens` that come of it, 0 where none do.
  void model(const std::string& name, int batch, int context, const Taken& taken, double bytes = 0, int tokens = 0);
  /// The same of all kernels that run() queues, without what a host does between two steps.
  void model(const std::string& name, int batch, int context, int tokens, double bytes, const std::function<void()>& run);
  /// Prints what of a model's memory lies on the device.
  void memory(const std::string& name, int64_t bytes);
  /// Prints whether something is as it must be, else in `words` how it is; what is not fails the program.
  void expect(const std::string& name, bool ok, const std::string& words);
  bool failed() const { return failed_; }
  void limit(const char* name, double value, const char* unit);

 private:
  Taken replay(int count, const std::function<void(int)>& queue);

  const How how_;
  const Sizes sizes_;
  Launch launch_;
  int l2_bytes_ = 0;
  std::vector<void*> memory_;
  bool failed_ = false;
};

/// "8 x 2560 x 10240"
std::string shape(int rows, int out, int in);

void measure_limits(Device& device);
void measure_model(Device& device);
void measure_decode(Device& device);
void measure_choices(Device& device);
void measure_prefill(Device& device);
void measure_pictures(Device& device);

}  // namespace mipha::cuda::bench
