// Streams, events, graphs and memory of the machine: as late as CUDA allows, refusals as CUDA's.
#include <gtest/gtest.h>

#include <fstream>

#include "test/machine/buffer.h"
#include "test/machine/kernels/launch.h"
#include "test/machine/machine.h"

namespace mipha::machine {
namespace {

TEST(Device, SaysWhatItStandsFor) {
  cudaDeviceProp properties;
  MACHINE_CHECK(cudaGetDeviceProperties(&properties, 0));
  EXPECT_EQ(properties.major * 10 + properties.minor, options().target);
  EXPECT_EQ(properties.integrated, options().target != 90);
  int value = -1;
  MACHINE_CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(static_cast<size_t>(value), properties.sharedMemPerBlockOptin);
  MACHINE_CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrCooperativeLaunch, 0));
  EXPECT_EQ(value, 0);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxPitch, 0), cudaErrorNotSupported);
  EXPECT_NE(take_report().find("is not modelled"), std::string::npos);
  MACHINE_CHECK(cudaGetDeviceCount(&value));
  EXPECT_EQ(value, 1);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(DeviceMemory, IsCountedAndEnds) {
  size_t before, after, total;
  MACHINE_CHECK(cudaMemGetInfo(&before, &total));
  EXPECT_EQ(total, options().memory_bytes);
  void* memory;
  MACHINE_CHECK(cudaMalloc(&memory, 1000));
  MACHINE_CHECK(cudaMemGetInfo(&after, &total));
  EXPECT_EQ(before - after, 1000u);
  void* more;
  EXPECT_EQ(cudaMalloc(&more, total), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  MACHINE_CHECK(cudaFree(memory));
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  MACHINE_CHECK(cudaFree(nullptr));
  take_report();
}

/// Bytes of this process in memory.
size_t resident() {
  size_t pages = 0, in_memory = 0;
  std::ifstream("/proc/self/statm") >> pages >> in_memory;
  return in_memory * 4096;
}

/// A kernel's first write has records kept of every word; they go with the memory. Several test programs share a computer.
TEST(DeviceMemory, GoesBackWithWhatWasRecordedOfIt) {
  const size_t bytes = 16u << 20;
  const Buffer<long long> offsets(std::vector<long long>{5}), out(1);
  size_t first = 0;
  for (int round = 0; round < 6; ++round) {
    {
      const Buffer<char> memory(bytes);
      MACHINE_CHECK(kernels::launch("far_offsets", {1}, {1}, nullptr, memory.data(), offsets.data(), out.data()));
      MACHINE_CHECK(cudaDeviceSynchronize());
    }
    if (round == 0) first = resident();
  }
  EXPECT_EQ(out.get()[0], 11);
  EXPECT_LT(resident(), first + 24 * bytes);  // records take 7 times the memory, so five rounds would keep 40; a sanitizer holds back 16 for a while
}

TEST(Copies, GoInEveryDirectionAndStayInside) {
  const std::vector<int> values{1, 2, 3, 4};
  int* pinned[2];
  MACHINE_CHECK(cudaHostAlloc(reinterpret_cast<void**>(&pinned[0]), 16, cudaHostAllocDefault));
  MACHINE_CHECK(cudaMallocHost(reinterpret_cast<void**>(&pinned[1]), 16));
  const Stream stream;
  const Buffer<int> a(4), b(4);
  MACHINE_CHECK(cudaMemcpyAsync(pinned[0], values.data(), 16, cudaMemcpyHostToHost, stream));
  MACHINE_CHECK(cudaMemcpyAsync(a.data(), pinned[0], 16, cudaMemcpyHostToDevice, stream));
  MACHINE_CHECK(cudaMemcpyAsync(b.data(), a.data(), 16, cudaMemcpyDeviceToDevice, stream));
  MACHINE_CHECK(cudaMemcpyAsync(pinned[1], b.data(), 16, cudaMemcpyDefault, stream));
  pinned[1][0] = 77;
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  EXPECT_EQ(std::vector<int>(pinned[1], pinned[1] + 4), values);
  EXPECT_EQ(b.get(), values);
  EXPECT_EQ(cudaMemcpyAsync(nullptr, nullptr, 0, cudaMemcpyHostToHost, stream), cudaSuccess);
  MACHINE_CHECK(cudaStreamSynchronize(stream));

  EXPECT_EQ(cudaMemcpyAsync(a.data(), b.data(), 17, cudaMemcpyDeviceToDevice, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(a.data() + 1, b.data(), 16, cudaMemcpyDeviceToDevice, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(a.data(), values.data(), 16, cudaMemcpyDeviceToDevice, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpyAsync(a.data(), b.data(), 16, cudaMemcpyHostToDevice, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemsetAsync(a.data(), 0, 17, stream), cudaErrorInvalidValue);
  MACHINE_CHECK(cudaMemsetAsync(a.data(), -1, 8, stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  EXPECT_EQ(a.get(), (std::vector<int>{-1, -1, 3, 4}));
  EXPECT_EQ(cudaFree(pinned[0]), cudaErrorInvalidValue);
  for (int* memory : pinned) MACHINE_CHECK(cudaFreeHost(memory));
  take_report();
}

TEST(Streams, RunNothingBeforeSomebodyWaits) {
  const Stream first, second;
  const Event done;
  std::vector<int> in{1, 2}, out{0, 0};
  const Buffer<int> device(2);
  MACHINE_CHECK(cudaMemcpyAsync(device.data(), in.data(), 8, cudaMemcpyHostToDevice, first));
  MACHINE_CHECK(cudaEventRecord(done, first));
  MACHINE_CHECK(cudaStreamWaitEvent(second, done, 0));
  MACHINE_CHECK(cudaMemcpyAsync(out.data(), device.data(), 8, cudaMemcpyDeviceToHost, second));
  in = {3, 4};  // too early: the copy has not run
  EXPECT_EQ(cudaStreamQuery(second), cudaErrorNotReady);
  EXPECT_EQ(cudaEventQuery(done), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(out, (std::vector<int>{0, 0}));
  MACHINE_CHECK(cudaStreamSynchronize(second));
  EXPECT_EQ(out, (std::vector<int>{3, 4}));
  MACHINE_CHECK(cudaStreamQuery(first));
  MACHINE_CHECK(cudaEventSynchronize(done));
  MACHINE_CHECK(cudaEventQuery(done));
}

TEST(Streams, WithoutAnEventAreNotInOrder) {
  const Buffer<int> device(32), other{std::vector<int>(32)};
  const Stream writes, reads;
  MACHINE_CHECK(cudaMemsetAsync(device.data(), 0, 128, writes));
  MACHINE_CHECK(kernels::launch("reads", 1, 32, reads, device.data(), other.data()));
  EXPECT_EQ(cudaStreamSynchronize(reads), cudaErrorLaunchFailure);
  EXPECT_NE(take_report().find("uninitialised device memory"), std::string::npos);
}

// An event that was recorded behind a wait, with no work between, carries the wait on.
TEST(Events, CarryWaitsOn) {
  const Stream a, b, c;
  const Event first, second;
  const Buffer<int> device(32), other{std::vector<int>(32)};
  MACHINE_CHECK(cudaMemsetAsync(device.data(), 0, 128, a));
  MACHINE_CHECK(cudaEventRecord(first, a));
  MACHINE_CHECK(cudaStreamWaitEvent(b, first, 0));
  MACHINE_CHECK(cudaEventRecord(second, b));
  MACHINE_CHECK(cudaStreamWaitEvent(c, second, 0));
  MACHINE_CHECK(kernels::launch("reads", 1, 32, c, device.data(), other.data()));
  MACHINE_CHECK(cudaStreamSynchronize(c));
  EXPECT_EQ(device.get(), std::vector<int>(32, 1));
}

TEST(Launches, AreRefusedWhenTheyCannotFit) {
  const Buffer<int> a{std::vector<int>(32)};
  EXPECT_EQ(kernels::launch("reads", 1, 1025, nullptr, a.data(), a.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(kernels::launch("reads", dim3(1, 65536), 32, nullptr, a.data(), a.data()), cudaErrorInvalidConfiguration);
  EXPECT_EQ(kernels::launch("reads", 0, 32, nullptr, a.data(), a.data()), cudaErrorInvalidConfiguration);
  const void* kernel = nullptr;
  for (const auto& one : kernels::faulty_kernels()) {
    if (std::string(one.name) == "reads") kernel = one.function;
  }
  int* data = a.data();
  void* arguments[] = {&data, &data};
  int largest;
  MACHINE_CHECK(cudaDeviceGetAttribute(&largest, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  EXPECT_EQ(cudaLaunchKernel(kernel, 1, 32, arguments, 50000, nullptr), cudaErrorInvalidConfiguration);
  EXPECT_EQ(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, largest + 1), cudaErrorInvalidValue);
  MACHINE_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
  MACHINE_CHECK(cudaLaunchKernel(kernel, 1, 32, arguments, 50000, nullptr));
  MACHINE_CHECK(cudaDeviceSynchronize());

  cudaLaunchAttribute cooperative{};
  cooperative.id = cudaLaunchAttributeCooperative;
  cooperative.val.cooperative = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = config.blockDim = dim3(1);
  config.attrs = &cooperative;
  config.numAttrs = 1;
  EXPECT_EQ(cudaLaunchKernelExC(&config, kernel, arguments), cudaErrorNotSupported);
  EXPECT_EQ(take_report(), "cooperative launches are not modelled: blocks run one after the other");
  EXPECT_EQ(cudaLaunchKernel(&config, 1, 1, arguments, 0, nullptr), cudaErrorInvalidDeviceFunction);
  take_report();
}

class Graphs : public testing::Test {
 protected:
  cudaGraph_t capture(std::initializer_list<const Buffer<int>*> filled) {
    MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    for (const auto* buffer : filled) MACHINE_CHECK(cudaMemsetAsync(buffer->data(), 5, 4, stream));
    cudaGraph_t graph;
    MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
    return graph;
  }
  void TearDown() override { take_report(); }
  const Stream stream, side;
  const Event event;
  const Buffer<int> a{std::vector<int>{1}}, b{std::vector<int>{1}};
};

TEST_F(Graphs, RunWhenLaunchedAndAreUpdatedByTheirLikes) {
  const cudaGraph_t of_a = capture({&a}), of_b = capture({&b}), of_both = capture({&a, &b});
  EXPECT_EQ(a.get()[0], 1);
  cudaGraphExec_t exec;
  MACHINE_CHECK(cudaGraphInstantiate(&exec, of_a, 0));
  cudaGraphExecUpdateResultInfo info;
  EXPECT_EQ(cudaGraphExecUpdate(exec, of_both, &info), cudaErrorGraphExecUpdateFailure);
  EXPECT_EQ(info.result, cudaGraphExecUpdateErrorTopologyChanged);
  MACHINE_CHECK(cudaGraphExecUpdate(exec, of_b, &info));
  EXPECT_EQ(info.result, cudaGraphExecUpdateSuccess);
  for (cudaGraph_t graph : {of_a, of_b, of_both}) MACHINE_CHECK(cudaGraphDestroy(graph));
  MACHINE_CHECK(cudaGraphLaunch(exec, stream));
  MACHINE_CHECK(cudaGraphLaunch(exec, stream));
  MACHINE_CHECK(cudaGraphExecDestroy(exec));  // a launch keeps what it needs
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  EXPECT_EQ(a.get()[0], 1);
  EXPECT_EQ(b.get()[0], 0x05050505);
}

TEST_F(Graphs, WithAnOpenForkAreRefused) {
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  MACHINE_CHECK(cudaEventRecord(event, stream));
  MACHINE_CHECK(cudaStreamWaitEvent(side, event, 0));
  MACHINE_CHECK(cudaMemsetAsync(a.data(), 0, 4, stream));
  MACHINE_CHECK(cudaEventRecord(event, stream));
  MACHINE_CHECK(cudaStreamWaitEvent(side, event, 0));
  MACHINE_CHECK(cudaMemsetAsync(b.data(), 0, 4, side));
  cudaGraph_t graph;
  EXPECT_EQ(cudaStreamEndCapture(side, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
}

TEST_F(Graphs, LetNobodyWaitOrAllocateWhileTheyAreCaptured) {
  MACHINE_CHECK(cudaEventRecord(event, side));  // nothing was done there
  MACHINE_CHECK(cudaMemsetAsync(b.data(), 0, 4, side));
  const Event outside;
  MACHINE_CHECK(cudaEventRecord(outside, side));
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  void* memory;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaHostAlloc(&memory, 16, 0), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaMemcpy(&memory, a.data(), 4, cudaMemcpyDeviceToHost), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureImplicit);
  cudaGraph_t graph;
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphDestroy(graph));
}

TEST(NotModelled, IsRefusedWithWords) {
  cudaStream_t stream;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), cudaErrorNotSupported);
  EXPECT_NE(take_report().find("cudaStreamNonBlocking"), std::string::npos);
  cudaEvent_t event;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventDefault), cudaErrorNotSupported);
  EXPECT_NE(take_report().find("cudaEventDisableTiming"), std::string::npos);
}

}  // namespace
}  // namespace mipha::machine
