// gpu_bench: whole models and each CUDA kernel against the limits of the device they run on, as lines of JSON.
#include <cstdio>
#include <cstring>
#include <exception>

#include "bench/gpu/device.h"

namespace {

using mipha::cuda::bench::How;

constexpr char kUsage[] =
    "gpu_bench            every model, kernel and size, about two minutes\n"
    "gpu_bench --short    the sizes that matter, within a minute\n"
    "gpu_bench --once     every kernel once and untimed, for a profiler\n"
    "gpu_bench --small    small sizes: shows that it runs through, on a device or without one\n";

/// What fails does not keep the rest from being measured.
int measure(How how) {
  using namespace mipha::cuda::bench;
  bool failed = false;
  const auto guarded = [&](auto&& part) {
    try {
      part();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      failed = true;
    }
  };
  guarded([&] {
    Device device(how);
    if (how != How::kOnce) measure_limits(device);
    for (const auto part : {measure_model, measure_decode, measure_choices, measure_prefill, measure_pictures}) {
      guarded([&] { part(device); });
    }
    failed = failed || device.failed();
  });
  return failed ? 1 : 0;
}

}  // namespace

int main(int count, char** arguments) {
  const char* const argument = count > 1 ? arguments[1] : "";
  if (count > 2 || (count == 2 && std::strncmp(argument, "--", 2) != 0)) {
    std::fprintf(stderr, "unknown argument %s\n%s", arguments[count - 1], kUsage);
    return 2;
  }
  if (count == 1) return measure(How::kLong);
  if (std::strcmp(argument, "--short") == 0) return measure(How::kShort);
  if (std::strcmp(argument, "--once") == 0) return measure(How::kOnce);
  if (std::strcmp(argument, "--small") == 0) return measure(How::kSmall);
  const bool help = std::strcmp(argument, "--help") == 0;
  std::fprintf(help ? stdout : stderr, "%s%s", help ? "" : "unknown argument\n", kUsage);
  return help ? 0 : 2;
}
