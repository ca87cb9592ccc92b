// What the device can do at most, as far as a kernel can find out.
#include "bench/gpu/device.h"
#include "bench/gpu/probes.h"

namespace mipha::cuda::bench {

void measure_limits(Device& device) {
  const bool small = device.how() == How::kSmall;
  const cudaStream_t stream = device.launch().stream;
  auto* const sink = device.zeros<uint32_t>(4);

  const size_t bytes = small ? size_t{64} << 10 : size_t{2} << 30;
  const void* const memory = device.zeros<uint8_t>(bytes);
  const double read = device.microseconds([&](int) { return read_all(memory, bytes, sink, stream); });
  device.limits.bytes_per_second = static_cast<double>(bytes) / read * 1e6;
  device.limit("read", device.limits.bytes_per_second / 1e9, "GB/s");
  device.limit("kernel in a graph", device.microseconds([&](int) { return nothing(sink, stream); }), "us");

  const int blocks = device.launch().processors * 4, rounds = small ? 2 : 2000;
  const auto per_second = [&](int depth, double us) { return peak_operations(blocks, rounds) * depth / us * 1e6; };
  auto* const signed_sink = device.zeros<int>(1);
  auto* const float_sink = device.zeros<float>(1);
  device.limits.s8_per_second = per_second(32, device.microseconds([&](int) { return peak_s8(blocks, rounds, signed_sink, stream); }));
  device.limits.f16_per_second = per_second(16, device.microseconds([&](int) { return peak_f16(blocks, rounds, float_sink, stream); }));
  device.limit("INT8 mma", device.limits.s8_per_second / 1e12, "TOPS");
  device.limit("FP16 mma", device.limits.f16_per_second / 1e12, "TFLOPS");
  device.release();
}

}  // namespace mipha::cuda::bench
