#include "core/int8_peak.h"

#include <algorithm>
#include <chrono>

#include "core/cpu_features.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace mipha {
namespace {

constexpr int kSteps = 300'000;
constexpr int kPasses = 20;
constexpr int kChains = 12;  // independent sums: latency times width of every CPU we know; started from volatile reads, so that no two are merged

/// Products of one thread; returns their multiplications and additions.
using Products = double (*)(volatile int* sink);

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512vnni"))) double vnni(volatile int* sink) {
  __m512i sums[kChains], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto& sum : sums) sum = _mm512_set1_epi32(*sink);
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
  }
  for (const auto& sum : sums) *sink = _mm512_cvtsi512_si32(sum);
  return 128.0 * kChains * kSteps;
}
#elif defined(__aarch64__)
__attribute__((target("arch=armv8.2-a+i8mm"))) double smmla(volatile int* sink) {
  int32x4_t sums[kChains];
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (auto& sum : sums) sum = vdupq_n_s32(*sink);
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = vmmlaq_s32(sum, a, b);
  }
  for (const auto& sum : sums) *sink = vgetq_lane_s32(sum, 0);
  return 64.0 * kChains * kSteps;
}

__attribute__((target("arch=armv8.2-a+dotprod"))) double sdot(volatile int* sink) {
  int32x4_t sums[kChains];
  const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (auto& sum : sums) sum = vdupq_n_s32(*sink);
  for (int i = 0; i < kSteps; ++i) {
#pragma GCC unroll 12
    for (auto& sum : sums) sum = vdotq_s32(sum, a, b);
  }
  for (const auto& sum : sums) *sink = vgetq_lane_s32(sum, 0);
  return 32.0 * kChains * kSteps;
}
#endif

Products products_of(const CpuFeatures& cpu) {
#if defined(__x86_64__)
  if (cpu.avx512vnni) return vnni;
#elif defined(__aarch64__)
  if (cpu.i8mm) return smmla;
  if (cpu.dotprod) return sdot;
#endif
  return nullptr;
}

}  // namespace

double int8_peak(ThreadPool& pool) {
  const Products products = products_of(cpu_features());
  if (products == nullptr) return 0;
  volatile int warm = 0;
  const double operations = products(&warm);  // of one thread in one pass
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    pool.each(pool.threads(), [&](int, int) {
      volatile int sink = 0;
      products(&sink);
    });
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, operations * pool.threads() / seconds);
  }
  return best;
}

}  // namespace mipha
