// The instructions that the kernels stand on, one by one, against plain loops. One line of JSON each; status 1 when one is wrong.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <random>

#include "backend/cuda/kernels/device.cuh"
#include "test/machine/buffer.h"

namespace mipha::cuda {
namespace {

using machine::Buffer;

constexpr int kLanes = 32, kBlocks = 64;

template <class T>
__device__ __forceinline__ T* arena() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

/// Per lane 4 words of A, 2 of B, 4 of C.
__global__ void products_s8(const uint32_t* in, int* out) {
  const uint32_t* own = in + threadIdx.x * 10;
  const uint32_t a[4] = {own[0], own[1], own[2], own[3]}, b[2] = {own[4], own[5]};
  int c[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) c[i] = static_cast<int>(own[6 + i]);
  mma_s8(c, a, b);
#pragma unroll
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = c[i];
}
/// Per lane 4 words of A, 2 of B.
__global__ void products_f16(const uint32_t* in, float* out) {
  const uint32_t* own = in + threadIdx.x * 6;
  const uint32_t a[4] = {own[0], own[1], own[2], own[3]}, b[2] = {own[4], own[5]};
  float c[4] = {0, 0, 0, 0};
  mma_f16(c, a, b);
#pragma unroll
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = c[i];
}
/// 32 rows of 8 values; of every fifth only the first 4 bytes are copied, the rest must become zeros.
__global__ void copies(const uint16_t* in, uint32_t* out) {
  const int lane = threadIdx.x;
  char* const row = arena<char>() + lane * 16;
  cp_async16(row, in + lane * 8, lane % 5 == 0 ? 4 : 16);
  cp_async_commit();
  cp_async_wait<0>();
  __syncwarp();
  uint32_t plain[4], transposed[4];
  ldmatrix_x4(plain, row);
  ldmatrix_x4_trans(transposed, row);
#pragma unroll
  for (int i = 0; i < 4; ++i) out[lane * 8 + i] = plain[i], out[lane * 8 + 4 + i] = transposed[i];
}
__global__ void loads(const uint4* in, uint4* out) {
  out[threadIdx.x] = load_once(in + threadIdx.x);
}
/// Blocks that write, and the last of them to arrive that adds up what all have written.
__global__ void arrivals(int* written, uint32_t* arrived, int* out) {
  int* const last = arena<int>();
  written[blockIdx.x * kLanes + threadIdx.x] = static_cast<int>(blockIdx.x) + 1;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) last[0] = atomicAdd(arrived, 1u) == gridDim.x - 1;
  __syncthreads();
  if (last[0] == 0) return;
  __threadfence();
  int sum = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) sum += written[block * kLanes + threadIdx.x];
  out[threadIdx.x] = sum;
  if (threadIdx.x == 0) arrived[0] = 0;
}
__global__ void approximations(const float* in, float* out) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(in[threadIdx.x]));
  out[threadIdx.x] = y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(fabsf(in[threadIdx.x])));
  out[kLanes + threadIdx.x] = y;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(fabsf(in[threadIdx.x])));
  out[2 * kLanes + threadIdx.x] = y;
}

class Report {
 public:
  void operator()(const char* name, bool ok, const char* measure, double value) {
    wrong_ += !ok;
    std::printf("{\"step\":\"check\",\"name\":\"%s\",\"ok\":%s,\"%s\":%.4g}\n", name, ok ? "true" : "false", measure, value);
    std::fflush(stdout);
  }
  int status() const { return wrong_ > 0 ? 1 : 0; }

 private:
  int wrong_ = 0;
};

std::mt19937 random_bits(1);

void check_s8(Report& report, cudaStream_t stream) {
  std::vector<uint32_t> in(kLanes * 10);
  for (auto& value : in) value = random_bits();
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 6; i < 10; ++i) in[lane * 10 + i] = static_cast<uint32_t>(static_cast<int>(random_bits() % 2001) - 1000);
  for (int i = 0; i < 6; ++i) in[i] = 0x80808080u, in[4 * 10 + i] = 0x7F7F7F7Fu;  // saturating rows
  const Buffer<uint32_t> from(in);
  const Buffer<int> to(4 * kLanes);
  products_s8<<<1, kLanes, 0, stream>>>(from.data(), to.data());
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<int> got = to.get();
  const auto byte = [&](int lane, int word, int at) { return static_cast<int>(static_cast<int8_t>(in[lane * 10 + word] >> (8 * at))); };
  int wrong = 0;
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      const int lane = row % 8 * 4 + column / 2, element = row / 8 * 2 + column % 2;
      int sum = static_cast<int>(in[lane * 10 + 6 + element]);
      for (int k = 0; k < 32; ++k)
        sum += byte(row % 8 * 4 + k % 16 / 4, row / 8 + k / 16 * 2, k % 4) * byte(column * 4 + k % 16 / 4, 4 + k / 16, k % 4);
      wrong += got[lane * 4 + element] != sum;
    }
  report("mma m16n8k32 s8", wrong == 0, "wrong", wrong);
}

void check_f16(Report& report, cudaStream_t stream) {
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<uint32_t> in(kLanes * 6);
  for (auto& value : in) {
    const __half pair[2] = {__float2half_rn(uniform(random_bits)), __float2half_rn(uniform(random_bits))};
    std::memcpy(&value, pair, sizeof value);
  }
  const Buffer<uint32_t> from(in);
  const Buffer<float> to(4 * kLanes);
  products_f16<<<1, kLanes, 0, stream>>>(from.data(), to.data());
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<float> got = to.get();
  const auto half = [&](int lane, int word, int at) {
    const auto bits = static_cast<uint16_t>(in[lane * 6 + word] >> (16 * at));
    __half value;
    std::memcpy(&value, &bits, sizeof value);
    return static_cast<double>(__half2float(value));
  };
  double worst = 0;
  for (int row = 0; row < 16; ++row)
    for (int column = 0; column < 8; ++column) {
      double sum = 0;
      for (int k = 0; k < 16; ++k) sum += half(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2) * half(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
      const double error = std::fabs(got[(row % 8 * 4 + column / 2) * 4 + row / 8 * 2 + column % 2] - sum);
      worst = error <= worst ? worst : error;  // keeps NaN
    }
  // 16 products below 1, added with as little as 23 bits that are cut off, not rounded.
  report("mma m16n8k16 f16", worst <= 16 * 16 * 0x1p-23, "worst", worst);
}

void check_copies(Report& report, cudaStream_t stream) {
  std::vector<uint16_t> in(kLanes * 8);
  for (auto& value : in) value = static_cast<uint16_t>(random_bits());
  const Buffer<uint16_t> from(in);
  const Buffer<uint32_t> to(8 * kLanes);
  copies<<<1, kLanes, 512, stream>>>(from.data(), to.data());
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<uint32_t> got = to.get();
  for (int lane = 0; lane < kLanes; lane += 5) std::fill(&in[lane * 8 + 2], &in[lane * 8] + 8, uint16_t{0});
  int wrong[2] = {0, 0};
  for (int lane = 0; lane < kLanes; ++lane)
    for (int i = 0; i < 4; ++i) {
      const auto at = [&](int row, int column) { return static_cast<uint32_t>(in[(i * 8 + row) * 8 + column]); };
      wrong[0] += got[lane * 8 + i] != (at(lane / 4, lane % 4 * 2) | at(lane / 4, lane % 4 * 2 + 1) << 16);
      wrong[1] += got[lane * 8 + 4 + i] != (at(lane % 4 * 2, lane / 4) | at(lane % 4 * 2 + 1, lane / 4) << 16);
    }
  report("cp.async with zeros behind it, ldmatrix", wrong[0] == 0, "wrong", wrong[0]);
  report("ldmatrix.trans", wrong[1] == 0, "wrong", wrong[1]);
}

void check_loads(Report& report, cudaStream_t stream) {
  std::vector<uint4> in(kLanes);
  for (auto& value : in) value = {static_cast<uint32_t>(random_bits()), static_cast<uint32_t>(random_bits()), 3, 4};
  const Buffer<uint4> from(in), to(kLanes);
  loads<<<1, kLanes, 0, stream>>>(from.data(), to.data());
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<uint4> got = to.get();
  const bool same = std::memcmp(got.data(), in.data(), in.size() * sizeof(uint4)) == 0;
  report("ld.global.nc.L1::no_allocate", same, "wrong", same ? 0 : 1);
}

/// Again and again, as a graph replays it: a fence that is missing shows rarely.
void check_arrivals(Report& report, cudaStream_t stream, int repeats) {
  const Buffer<int> written(kBlocks * kLanes), to(kLanes);
  const Buffer<uint32_t> arrived(std::vector<uint32_t>{0});
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  MACHINE_CHECK(cudaMemsetAsync(written.data(), 0, written.size() * sizeof(int), stream));
  arrivals<<<kBlocks, kLanes, 16, stream>>>(written.data(), arrived.data(), to.data());
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  int wrong = 0;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    MACHINE_CHECK(cudaGraphLaunch(exec, stream));
    MACHINE_CHECK(cudaStreamSynchronize(stream));
    for (const int sum : to.get()) wrong += sum != kBlocks * (kBlocks + 1) / 2;
  }
  MACHINE_CHECK(cudaGraphExecDestroy(exec));
  MACHINE_CHECK(cudaGraphDestroy(graph));
  report("the last block sees what all have written, replayed", wrong == 0, "wrong", wrong);
}

void check_approximations(Report& report, cudaStream_t stream) {
  std::vector<float> in(kLanes);
  for (int i = 0; i < kLanes; ++i) in[i] = -20.0f + 0.97f * static_cast<float>(i);
  const Buffer<float> from(in), to(3 * kLanes);
  approximations<<<1, kLanes, 0, stream>>>(from.data(), to.data());
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<float> got = to.get();
  double worst = 0;
  for (int i = 0; i < kLanes; ++i) {
    const double x = in[i], wanted[3] = {std::exp2(x), 1 / std::fabs(x), 1 / std::sqrt(std::fabs(x))};
    for (int j = 0; j < 3; ++j) {
      const double error = std::fabs(got[j * kLanes + i] / wanted[j] - 1);
      worst = error <= worst ? worst : error;
    }
  }
  report("ex2, rcp, rsqrt", worst <= 0x1p-22, "worst", worst);
}

}  // namespace
}  // namespace mipha::cuda

int main(int count, char** arguments) {
  using namespace mipha::cuda;
  const bool few = count > 1 && std::strcmp(arguments[1], "--few") == 0;
  try {
    const mipha::machine::Stream stream;
    Report report;
    check_s8(report, stream);
    check_f16(report, stream);
    check_copies(report, stream);
    check_loads(report, stream);
    check_approximations(report, stream);
    check_arrivals(report, stream, few ? 3 : 1000);
    return report.status();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
