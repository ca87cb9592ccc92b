// INT8 and FP32 kernels against the limits of this machine, all measured in one run: read bandwidth, INT8 and FP32 peak from registers only.
// Every figure is the best of several passes; weights larger than the last cache rotate, so that they come from memory as in a real step.
#include "backend/cpu/kernels.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/pack.h"
#include "core/cpu_features.h"
#include "core/int8_peak.h"
#include "core/read_bandwidth.h"
#include "core/thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "backend/cpu/amx_tiles.h"
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mipha::cpu {
namespace {

double seconds(const std::function<void()>& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double best_seconds(const std::function<void()>& body) {
  double best = 1e9, spent = 0;
  for (int pass = 0; pass < 200 && (pass < 4 || spent < 0.4); ++pass) {
    const double taken = seconds(body);
    best = std::min(best, taken);
    spent += taken;
  }
  return best;
}

// ---- limits ----

constexpr int kPeakSteps = 300'000;
constexpr int kChains =
    12;  // independent accumulators: latency times width of every CPU we know; started from volatile reads, so that no two are merged

#if defined(__x86_64__)
/// Zeros take as long as other values.
double amx_ops() {
  TileShapes shapes;
  for (int tile = 0; tile < 8; ++tile) {
    shapes.rows[tile] = 16;
    shapes.row_bytes[tile] = 64;
  }
  tile_configure(shapes);
  for (int i = 0; i < kPeakSteps; ++i) {
    tile_multiply<0, 4, 6>();
    tile_multiply<1, 4, 7>();
    tile_multiply<2, 5, 6>();
    tile_multiply<3, 5, 7>();
  }
  tile_release();
  return 4.0 * 2 * 16 * 16 * 64 * kPeakSteps;
}

__attribute__((target("avx512f"))) double fp32_ops_512(volatile int* sink) {
  __m512 sums[kChains], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (auto& sum : sums) sum = _mm512_set1_ps(static_cast<float>(*sink));
  for (int i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  }
  for (const auto& sum : sums) *sink = static_cast<int>(_mm512_cvtss_f32(sum));
  return 32.0 * kChains * kPeakSteps;
}

__attribute__((target("avx2,fma"))) double fp32_ops_256(volatile int* sink) {
  __m256 sums[kChains], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (auto& sum : sums) sum = _mm256_set1_ps(static_cast<float>(*sink));
  for (int i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  }
  for (const auto& sum : sums) *sink = static_cast<int>(_mm256_cvtss_f32(sum));
  return 16.0 * kChains * kPeakSteps;
}
#elif defined(__aarch64__)
double fp32_ops_neon(volatile int* sink) {
  float32x4_t sums[kChains];
  const float32x4_t a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
  for (auto& sum : sums) sum = vdupq_n_f32(static_cast<float>(*sink));
  for (int i = 0; i < kPeakSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = vfmaq_f32(sum, a, b);
  }
  for (const auto& sum : sums) *sink = static_cast<int>(vgetq_lane_f32(sum, 0));
  return 8.0 * kChains * kPeakSteps;
}
#endif

struct Limits {
  double bytes_per_second = 0;
  double int8_per_second = 0;  // multiplications and additions; 0: not measured on this CPU
  double amx_per_second = 0;
  double fp32_per_second = 0;

  double int8_of(const Kernels& kernels) const { return std::string(kernels.name) == "amx" ? amx_per_second : int8_per_second; }
};

double rate(ThreadPool& pool, const std::function<double()>& work) {
  double operations = 0;
  const double taken = best_seconds([&] {
    std::vector<double> done(pool.threads());
    pool.each(pool.threads(), [&](int, int thread) { done[thread] += work(); });
    operations = 0;
    for (const double count : done) operations += count;
  });
  return operations / taken;
}

Limits measure_limits(ThreadPool& pool) {
  Limits limits;
  limits.bytes_per_second = read_bandwidth(pool);
  limits.int8_per_second = int8_peak(pool);
#if defined(__x86_64__)
  static volatile int sink;
  const CpuFeatures& cpu = cpu_features();
  if (find_kernels("amx")) limits.amx_per_second = rate(pool, amx_ops);
  if (cpu.avx512f) {
    limits.fp32_per_second = rate(pool, [] { return fp32_ops_512(&sink); });
  } else if (cpu.fma) {
    limits.fp32_per_second = rate(pool, [] { return fp32_ops_256(&sink); });
  }
#elif defined(__aarch64__)
  static volatile int sink;
  limits.fp32_per_second = rate(pool, [] { return fp32_ops_neon(&sink); });
#endif
  return limits;
}

double percent(double value, double limit) {
  return limit > 0 ? 100 * value / limit : 0;
}

// ---- INT8 products ----

struct Product {
  const char* name;
  int out, in;
};
constexpr Product kProducts[] = {
    {"Phi-2 fc1", 10240, 2560}, {"Phi-2 fc2", 2560, 10240}, {"Phi-2 qkv", 7680, 2560}, {"SigLIP fc2", 1152, 4304}, {"SigLIP fc1", 4304, 1152}};
constexpr int kRowCounts[] = {1, 4, 8, 12, 48, 152, 729};

void bench_product(const Kernels& kernels, ThreadPool& pool, const Limits& limits, const Product& product, int rows, std::vector<int8_t>& memory) {
  const Packed shape{product.out, product.in};
  const size_t bytes = shape.bytes(), copies = std::max<size_t>(1, memory.size() / bytes);
  std::vector<int32_t> sums(shape.padded_out(), 0);
  std::vector<int8_t> a(static_cast<size_t>(rows) * shape.padded_in(), 3);
  std::vector<std::vector<int32_t>> acc(pool.threads(), std::vector<int32_t>(kMaxRows * kMaxPanels * kPanel));
  const int groups = (shape.panels() + kMaxPanels - 1) / kMaxPanels;
  size_t copy = 0;
  const double taken = best_seconds([&] {
    const int8_t* panels = memory.data() + copy++ % copies * bytes;
    pool.each(groups, [&](int group, int thread) {
      const int first = group * kMaxPanels, count = std::min(kMaxPanels, shape.panels() - first);
      for (int m = 0; m < rows; m += kMaxRows) {
        kernels.gemm_s8(a.data() + static_cast<size_t>(m) * shape.padded_in(), shape.padded_in(), std::min(kMaxRows, rows - m), shape.padded_in(),
                        panels + first * shape.panel_bytes(), count, sums.data() + first * kPanel, acc[thread].data());
      }
    });
  });
  const double operations = 2.0 * rows * product.out * product.in, per_second = operations / taken, read = static_cast<double>(bytes) / taken;
  std::printf("%-10s %-10s %5d x %5d  rows %3d  %d thr  %7.1f MB %8.2f Gop %8.3f ms  %6.1f GB/s (%3.0f %%)  %6.3f TOPS (%3.0f %%)\n", kernels.name,
              product.name, product.out, product.in, rows, pool.threads(), static_cast<double>(bytes) / 1e6, operations / 1e9, taken * 1e3,
              read / 1e9, percent(read, limits.bytes_per_second), per_second / 1e12, percent(per_second, limits.int8_of(kernels)));
}

// ---- FP32 products ----

struct FloatProduct {
  const char* name;
  int rows, depth, columns;
};
constexpr FloatProduct kFloatProducts[] = {{"q k^T, head 80", 64, 80, 128}, {"p v, head 80", 64, 128, 80}, {"q k^T, head 72", 64, 72, 128},
                                           {"p v, head 72", 64, 128, 80},   {"one row", 1, 80, 128},       {"patch embedding", 64, 588, 1152}};

void bench_float(const Kernels& kernels, ThreadPool& pool, const Limits& limits, const FloatProduct& product) {
  const int repeats = 1 + 20'000'000 / (product.rows * product.depth * product.columns);
  std::vector<float> a(product.rows * product.depth, 0.5f), b(product.depth * product.columns, 0.25f);
  const double per_second = rate(pool, [&] {
    std::vector<float> out(product.rows * product.columns);
    for (int i = 0; i < repeats; ++i) {
      kernels.gemm_f32(a.data(), product.depth, product.rows, product.depth, b.data(), product.columns, product.columns, out.data(), product.columns,
                       false);
    }
    return 2.0 * product.rows * product.depth * product.columns * repeats;
  });
  std::printf("%-10s %-16s %3d x %3d x %4d  %d thr  %6.3f TFLOPS (%3.0f %%)\n", kernels.name, product.name, product.rows, product.depth,
              product.columns, pool.threads(), per_second / 1e12, percent(per_second, limits.fp32_per_second));
}

void bench_elementwise(const Kernels& kernels) {
  constexpr int kCount = 10240, kKeys = 512, kHead = 80, kRepeats = 200;
  std::vector<float> x(kCount), y(kCount), gain(kCount, 1.0f), out(kCount);
  std::vector<half_t> half(static_cast<size_t>(kKeys) * kHead, 0x3800);
  std::vector<int8_t> q(kCount);
  std::mt19937 random(1);
  for (auto& value : y) value = std::normal_distribution<float>(0, 2)(random);
  const auto print = [&](const char* name, double values, const std::function<void()>& body) {
    const double taken = best_seconds([&] {
      for (int i = 0; i < kRepeats; ++i) {
        x = y;
        body();
      }
    });
    std::printf("%-10s %-16s %8.3f ns per value (with a copy of the input), 1 thr\n", kernels.name, name, taken / kRepeats / values * 1e9);
  };
  float running_max = -1e30f;
  print("gelu_tanh", kCount, [&] { kernels.gelu_tanh(x.data(), x.size()); });
  print("gelu_erf", kCount, [&] { kernels.gelu_erf(x.data(), x.size()); });
  print("softmax_block", kCount, [&] { kernels.softmax_block(x.data(), kCount, &running_max); });
  print("swish", kCount, [&] { kernels.swish(x.data(), 1, x.size()); });
  print("rms_norm", kCount, [&] { kernels.rms_norm(x.data(), gain.data(), 1e-5f, kCount, out.data()); });
  print("layer_norm", kCount, [&] { kernels.layer_norm(x.data(), gain.data(), gain.data(), 1e-5f, kCount, out.data()); });
  print("quantize", kCount, [&] { kernels.quantize(x.data(), kCount, kCount, q.data()); });
  print("dot_half", kKeys * kHead, [&] { kernels.dot_half(x.data(), half.data(), kHead, kKeys, kHead, out.data()); });
  print("weighted_half", kKeys * kHead, [&] { kernels.weighted_half(x.data(), half.data(), kHead, kKeys, kHead, out.data()); });
  std::vector<float> transposed(static_cast<size_t>(kHead) * kKeys);
  print("transpose_half", kKeys * kHead, [&] { kernels.transpose_half(half.data(), kHead, kHead, kKeys, transposed.data(), kKeys); });
}

int run(int count, char** names) {
  std::vector<int8_t> memory(size_t{512} << 20);
  for (size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<int8_t>(static_cast<int>((i * 2654435761u >> 24) % 255) - 127);
  ThreadPool one(1), all(physical_cores());
  std::printf("%s, %d cores\n", cpu_model().c_str(), all.threads());
  const std::vector<std::string> wanted(names, names + count);
  for (ThreadPool* pool : {&one, &all}) {
    const Limits limits = measure_limits(*pool);
    std::printf("\n%d thr: read %.1f GB/s, INT8 peak %.3f TOPS, by AMX %.3f, FP32 peak %.3f TFLOPS\n", pool->threads(), limits.bytes_per_second / 1e9,
                limits.int8_per_second / 1e12, limits.amx_per_second / 1e12, limits.fp32_per_second / 1e12);
    const KernelList list = kernels();
    for (int row = 0; row < list.count; ++row) {
      const Kernels& kernels = *list.rows[row];
      const bool slow = row == list.count - 1;  // the scalar twin is only timed when asked for by name
      if (wanted.empty() ? slow : std::find(wanted.begin(), wanted.end(), kernels.name) == wanted.end()) continue;
      for (const Product& product : kProducts) {
        for (const int rows : kRowCounts) bench_product(kernels, *pool, limits, product, rows, memory);
      }
      for (const FloatProduct& product : kFloatProducts) bench_float(kernels, *pool, limits, product);
      if (pool == &one) bench_elementwise(kernels);
    }
    if (all.threads() == 1) break;
  }
  return 0;
}

}  // namespace
}  // namespace mipha::cpu

/// Arguments: names of kernel rows; none: every row but scalar.
int main(int argc, char** argv) {
  return mipha::cpu::run(argc - 1, argv + 1);
}
