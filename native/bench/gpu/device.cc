#include "bench/gpu/device.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

#include "bench/gpu/probes.h"

namespace mipha::cuda::bench {
namespace {

constexpr double kLeastMicroseconds = 0.1;  // of a difference, which noise can make nothing
constexpr float kWeightScale = 1e-5f;       // keeps residuals, to which layer after layer is added, near where they were

}  // namespace

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Taken taken(std::vector<double> milliseconds) {
  std::sort(milliseconds.begin(), milliseconds.end());
  const size_t last = milliseconds.size() - 1;
  return {milliseconds.at(last / 2), milliseconds.at(last * 95 / 100)};
}

void check(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

std::string shape(int rows, int out, int in) {
  return std::to_string(rows) + " x " + std::to_string(out) + " x " + std::to_string(in);
}

Device::Device(How how) : how_(how), sizes_(how == How::kSmall ? small() : published()) {
  check(cudaStreamCreateWithFlags(&launch_.stream, cudaStreamNonBlocking), "stream");
  check(cudaDeviceGetAttribute(&launch_.processors, cudaDevAttrMultiProcessorCount, 0), "multiprocessors");
  check(cudaDeviceGetAttribute(&l2_bytes_, cudaDevAttrL2CacheSize, 0), "L2 cache");
}

Device::~Device() {
  for (void* const piece : memory_) cudaFree(piece);
  cudaStreamDestroy(launch_.stream);
}

void* Device::bytes(size_t count) {
  void* piece = nullptr;
  check(cudaMalloc(&piece, count), "device memory");
  memory_.push_back(piece);
  return piece;
}

float* Device::floats(size_t count, float limit) {
  auto* const to = static_cast<float*>(bytes(count * sizeof(float)));
  check(fill_floats(to, count, limit, launch_.stream), "fill");
  return to;
}

void Device::release() {
  check(cudaStreamSynchronize(launch_.stream), "end of a measurement");
  for (void* const piece : memory_) check(cudaFree(piece), "free");
  memory_.clear();
}

int Device::sets(double bytes_of_one) const {
  if (how_ == How::kSmall || how_ == How::kOnce) return 2;
  return 1 + static_cast<int>(std::min(63.0, std::max(1.0, 2.0 * l2_bytes_ / bytes_of_one)));
}

Matrix Device::matrix(int out, int in, Format format, const RowOrder& order) {
  Matrix matrix;
  matrix.format = format;
  matrix.out = out, matrix.in = in, matrix.places = order.places(out), matrix.depth = rounded_up(in, kTileDepth), matrix.order = order;
  const size_t weights = static_cast<size_t>(matrix.places) * matrix.depth;
  if (format == Format::kF16) {
    void* const tiles = bytes(weights * sizeof(__half));
    check(fill_halves(tiles, weights, launch_.stream), "fill");
    matrix.tiles = tiles;
  } else {
    auto* const tiles = static_cast<int8_t*>(bytes(weights));
    check(fill_bytes(tiles, weights, launch_.stream), "fill");
    matrix.tiles = tiles;
    matrix.scale = floats(matrix.places, kWeightScale);
  }
  matrix.bias = floats(matrix.places, kWeightScale);
  return matrix;
}

std::vector<Matrix> Device::matrices(int count, int out, int in, Format format, const RowOrder& order) {
  std::vector<Matrix> made;
  for (int i = 0; i < count; ++i) made.push_back(matrix(out, in, format, order));
  return made;
}

CacheLayer Device::cache(const BlockConfig& config, int blocks) {
  CacheLayer layer;
  layer.kv_heads = config.kv_heads, layer.head_size = config.head_size;
  layer.block_stride = int64_t{2} * config.kv_heads * kBlockRows * config.head_size;
  const size_t halves = static_cast<size_t>(layer.block_stride) * blocks;
  layer.base = static_cast<__half*>(bytes(halves * sizeof(__half)));
  check(fill_halves(layer.base, halves, launch_.stream), "fill");
  return layer;
}

/// A replay of the graph that queue(0), ..., queue(count - 1) make.
Taken Device::replay(int count, const std::function<void(int)>& queue) {
  const int replays = how_ == How::kSmall ? 1 : how_ == How::kShort ? 5 : 11;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check(cudaStreamSynchronize(launch_.stream), "preparation");
  check(cudaStreamBeginCapture(launch_.stream, cudaStreamCaptureModeThreadLocal), "capture");
  for (int i = 0; i < count; ++i) queue(i);
  check(cudaStreamEndCapture(launch_.stream, &graph), "capture");
  check(cudaGraphInstantiate(&exec, graph, 0), "graph");
  std::vector<double> times;
  for (int i = 0; i <= replays; ++i) {
    const double began = now_ms();
    check(cudaGraphLaunch(exec, launch_.stream), "launch");
    check(cudaStreamSynchronize(launch_.stream), "run");
    if (i > 0) times.push_back(now_ms() - began);  // the first brings the code
  }
  check(cudaGraphExecDestroy(exec), "graph");
  check(cudaGraphDestroy(graph), "graph");
  return taken(std::move(times));
}

double Device::microseconds(const std::function<cudaError_t(int)>& run) {
  const auto queue = [&](int i) { check(run(i), "kernel"); };
  if (how_ == How::kSmall) return replay(2, queue).median / 2 * 1e3;
  const double first = replay(8, queue).median / 8;
  const int count = static_cast<int>(std::min(1000.0, std::max(8.0, 2 / first)));
  return replay(count, queue).median / count * 1e3;
}

void Device::kernel(const char* name, const std::string& shape, const Work& work, const std::function<cudaError_t(int)>& run,
                    const std::function<cudaError_t(int)>& before) {
  if (how_ == How::kOnce) {
    if (before) check(before(0), name);
    check(run(0), name);
    check(cudaStreamSynchronize(launch_.stream), name);
    return;
  }
  double us = microseconds([&](int i) {
    const cudaError_t error = before ? before(i) : cudaSuccess;
    return error == cudaSuccess ? run(i) : error;
  });
  if (before) us = std::max(us - microseconds(before), kLeastMicroseconds);
  const double bytes_per_second = work.bytes / us * 1e6, per_second = work.operations / us * 1e6;
  const double peak = work.format == Format::kS8 ? limits.s8_per_second : limits.f16_per_second;
  std::printf(
      "{\"step\":\"kernel\",\"name\":\"%s\",\"shape\":\"%s\",\"us\":%.3f,\"bytes\":%.0f,\"operations\":%.0f,\"GBps\":%.2f,\"bandwidth\":%.4f,"
      "\"TOPS\":%.4f,\"compute\":%.4f}\n",
      name, shape.c_str(), us, work.bytes, work.operations, bytes_per_second / 1e9, bytes_per_second / limits.bytes_per_second, per_second / 1e12,
      per_second / peak);
  std::fflush(stdout);
}

void Device::model(const std::string& name, int batch, int context, const Taken& taken, double bytes, int tokens) {
  std::printf("{\"step\":\"model\",\"name\":\"%s\",\"batch\":%d,\"context\":%d,\"ms\":%.4f,\"p95_ms\":%.4f", name.c_str(), batch, context,
              taken.median, taken.p95);
  if (bytes > 0) std::printf(",\"bytes\":%.0f,\"bandwidth\":%.4f", bytes, bytes / taken.median * 1e3 / limits.bytes_per_second);
  if (tokens > 0) std::printf(",\"tokens_per_second\":%.2f", tokens / taken.median * 1e3);
  std::printf("}\n");
  std::fflush(stdout);
}

void Device::model(const std::string& name, int batch, int context, int tokens, double bytes, const std::function<void()>& run) {
  if (how_ == How::kOnce) return;
  model(name, batch, context, replay(1, [&](int) { run(); }), bytes, tokens);
}

void Device::memory(const std::string& name, int64_t bytes) {
  std::printf("{\"step\":\"memory\",\"name\":\"%s\",\"MB\":%.1f}\n", name.c_str(), static_cast<double>(bytes) / 1e6);
  std::fflush(stdout);
}

void Device::expect(const std::string& name, bool ok, const std::string& words) {
  std::printf("{\"step\":\"check\",\"name\":\"%s\",\"ok\":%s", name.c_str(), ok ? "true" : "false");
  if (!ok) std::printf(",\"words\":\"%s\"", words.c_str());
  std::printf("}\n");
  std::fflush(stdout);
  failed_ = failed_ || !ok;
}

void Device::limit(const char* name, double value, const char* unit) {
  std::printf("{\"step\":\"limit\",\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\"}\n", name, value, unit);
  std::fflush(stdout);
}

}  // namespace mipha::cuda::bench
