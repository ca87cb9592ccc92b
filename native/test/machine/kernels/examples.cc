/// The examples against plain loops, over awkward sizes.
#include "test/machine/kernels/examples.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "test/machine/buffer.h"
#include "test/machine/lanes.h"

namespace mipha::machine::kernels {
namespace {

struct Random {
  std::mt19937 engine{1};
  float between(float low, float high) { return low + (high - low) * static_cast<float>(engine() >> 8) / static_cast<float>(1 << 24); }
  std::vector<float> floats(size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = between(low, high);
    return values;
  }
  std::vector<int8_t> bytes(size_t count) {
    std::vector<int8_t> values(count);
    for (int8_t& value : values) value = static_cast<int8_t>(static_cast<int>(engine() % 255) - 127);
    return values;
  }
  std::vector<__half> halves(size_t count, float size) {
    std::vector<__half> values(count);
    for (__half& value : values) value = half(between(-size, size));
    return values;
  }
  static __half half(float value) { return __half_raw{float_to_half(value)}; }
};

std::vector<int8_t> pack(const std::vector<int8_t>& w, int rows, int k) {
  std::vector<int8_t> out;
  for (int r = 0; r < rows; r += 16) {
    for (int c = 0; c < k; c += 32) {
      for (int i = 0; i < kTileBytes; ++i) {  // lane, quarter, byte
        const int lane = i / 16, quarter = i / 4 % 4, row = r + lane / 4 + quarter % 2 * 8;
        out.push_back(w[static_cast<size_t>(row * k + c + quarter / 2 * 16 + lane % 4 * 4 + i % 4)]);
      }
    }
  }
  return out;
}

struct Matrix {
  int rows, k;
  std::vector<int8_t> plain;
  std::vector<float> scale, bias;
  Buffer<int8_t> packed;
  Buffer<float> device_scale, device_bias;
  Matrix(Random& random, int rows, int k)
      : rows(rows),
        k(k),
        plain(random.bytes(static_cast<size_t>(rows * k))),
        scale(random.floats(static_cast<size_t>(rows), 0.001f, 0.01f)),
        bias(random.floats(static_cast<size_t>(rows), -1, 1)),
        packed(pack(plain, rows, k)),
        device_scale(scale),
        device_bias(bias) {}
  Linear view() const { return {reinterpret_cast<const uint4*>(packed.data()), device_scale.data(), device_bias.data(), rows, k}; }
  float times(int row, const int8_t* x, float x_scale) const {
    int sum = 0;
    for (int i = 0; i < k; ++i) sum += plain[static_cast<size_t>(row * k + i)] * x[i];
    const size_t r = static_cast<size_t>(row);
    return std::fma(static_cast<float>(sum), scale[r] * x_scale, bias[r]);
  }
};

/// Equal to the bit.
std::string compare(const Matrix& w, const std::vector<int8_t>& x, const std::vector<float>& x_scale, const std::vector<float>& got) {
  int wrong = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t token = i / static_cast<size_t>(w.rows);
    wrong += got[i] != w.times(static_cast<int>(i) % w.rows, &x[token * static_cast<size_t>(w.k)], x_scale[token]);
  }
  return wrong == 0 ? "" : std::to_string(wrong) + " of " + std::to_string(got.size()) + " differ";
}

std::string check_gemv(int tokens, int rows, int k, cudaStream_t stream) {
  Random random;
  const Matrix w(random, rows, k);
  const auto x = random.bytes(static_cast<size_t>(tokens * k));
  const auto x_scale = random.floats(static_cast<size_t>(tokens), 0.01f, 0.1f);
  const Buffer<int8_t> device_x(x);
  const Buffer<float> device_scale(x_scale), out(static_cast<size_t>(tokens * rows));
  MACHINE_CHECK(gemv(tokens, w.view(), device_x.data(), device_scale.data(), out.data(), stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<float> got = out.get();
  return compare(w, x, x_scale, got);
}

float gelu(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.79788456f * std::fma(0.044715f * x * x, x, x)));
}

std::string check_gemm(int tokens, int rows, int k, cudaStream_t stream) {
  Random random;
  const Matrix w(random, rows, k);
  const auto x = random.bytes(static_cast<size_t>(tokens * k));
  const auto x_scale = random.floats(static_cast<size_t>(tokens), 0.001f, 0.01f);
  const Buffer<int8_t> device_x(x), out8(static_cast<size_t>(tokens * rows));
  const Buffer<float> device_scale(x_scale), out(out8.size());
  MACHINE_CHECK(gemm(w.view(), device_x.data(), device_scale.data(), tokens, 0, nullptr, out.data(), stream));
  MACHINE_CHECK(gemm(w.view(), device_x.data(), device_scale.data(), tokens, 20.0f, out8.data(), nullptr, stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<float> got = out.get();
  const std::vector<int8_t> got8 = out8.get();
  size_t off = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const float quantized = std::min(std::max(std::nearbyint(gelu(got[i]) * 20.0f), -127.0f), 127.0f);
    const int distance = std::abs(static_cast<int>(quantized) - got8[i]);
    if (distance > 1) return "quantized value " + std::to_string(i) + " is off by " + std::to_string(distance);
    off += distance != 0;
  }
  // tanhf of CUDA is not the host's to the last bit: a value in a thousand may round to the other side.
  if (off > got.size() / 1000) return std::to_string(off) + " of " + std::to_string(got.size()) + " quantized values are off by one";
  return compare(w, x, x_scale, got);
}

/// One row in double precision.
std::vector<double> attend_plainly(const __half* q, const __half* keys, const __half* values, int tokens) {
  const auto number = [](__half half) { return static_cast<double>(half_to_float(static_cast<__half_raw>(half).x)); };
  std::vector<double> weights(static_cast<size_t>(tokens)), out(kHeadSize);
  double top = -INFINITY, sum = 0;
  for (int t = 0; t < tokens; ++t) {
    double score = 0;
    for (int d = 0; d < kHeadSize; ++d) score += number(q[d]) * number(keys[t * kHeadSize + d]);
    weights[static_cast<size_t>(t)] = score / std::sqrt(kHeadSize);
    top = std::max(top, weights[static_cast<size_t>(t)]);
  }
  for (double& weight : weights) sum += weight = std::exp(weight - top);
  for (int t = 0; t < tokens; ++t) {
    for (int d = 0; d < kHeadSize; ++d) out[static_cast<size_t>(d)] += weights[static_cast<size_t>(t)] / sum * number(values[t * kHeadSize + d]);
  }
  return out;
}

std::string check_attention(int rows, int heads, int first, int splits, float size, cudaStream_t stream) {
  Random random;
  const int tokens = first + rows, capacity = tokens + 3, head = capacity * kHeadSize;
  const auto q = random.halves(static_cast<size_t>(rows * heads * kHeadSize), size);
  auto keys = random.halves(static_cast<size_t>(heads * head), size), values = random.halves(keys.size(), 1);
  for (int i = 0; i < heads * head; ++i) {  // nobody may see what lies behind the last token
    if (i % head >= tokens * kHeadSize) keys[static_cast<size_t>(i)] = values[static_cast<size_t>(i)] = Random::half(NAN);
  }
  const Buffer<__half> device_q(q), device_keys(keys), device_values(values);
  const Buffer<float> partial(static_cast<size_t>(splits * rows * heads) * kPartial), out(q.size());
  MACHINE_CHECK(
      attend(device_q.data(), device_keys.data(), device_values.data(), rows, heads, first, capacity, splits, partial.data(), out.data(), stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  const std::vector<float> got = out.get();
  double worst = 0;
  for (int i = 0; i < rows * heads; ++i) {
    const size_t from = static_cast<size_t>(i % heads * head), at = static_cast<size_t>(i * kHeadSize);
    const auto expected = attend_plainly(&q[at], &keys[from], &values[from], first + i / heads + 1);
    for (size_t d = 0; d < expected.size(); ++d) {
      const double error = std::fabs(got[at + d] - expected[d]);
      worst = error <= worst ? worst : error;  // NaN stays
    }
  }
  return worst < 2e-3 ? "" : "off by " + std::to_string(worst);  // weights of the sum are rounded to FP16, 2^-11 of values up to 1
}

/// A fork and a join inside a captured graph, launched three times.
std::string check_graph(cudaStream_t stream) {
  Random random;
  const int rows = 64, k = 64;
  const Matrix a(random, rows, k), b(random, rows, k);
  std::vector<int8_t> x = random.bytes(k);
  const Buffer<int8_t> device_x(x), staged(x.size());
  const Buffer<float> x_scale(std::vector<float>{0.1f}), out_a(rows), out_b(rows), both(2 * rows);
  const Stream side;
  const Event fork, join;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  MACHINE_CHECK(cudaMemcpyAsync(staged.data(), device_x.data(), k, cudaMemcpyDeviceToDevice, stream));
  MACHINE_CHECK(cudaEventRecord(fork, stream));
  MACHINE_CHECK(cudaStreamWaitEvent(side, fork, 0));
  MACHINE_CHECK(gemv(1, a.view(), staged.data(), x_scale.data(), out_a.data(), stream));
  MACHINE_CHECK(gemv(1, b.view(), staged.data(), x_scale.data(), out_b.data(), side));
  MACHINE_CHECK(cudaEventRecord(join, side));
  MACHINE_CHECK(cudaStreamWaitEvent(stream, join, 0));
  MACHINE_CHECK(cudaMemcpyAsync(both.data(), out_a.data(), rows * sizeof(float), cudaMemcpyDeviceToDevice, stream));
  MACHINE_CHECK(cudaMemcpyAsync(both.data() + rows, out_b.data(), rows * sizeof(float), cudaMemcpyDeviceToDevice, stream));
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  std::string wrong;
  for (int round = 0; round < 3 && wrong.empty(); ++round) {
    x = random.bytes(k);
    MACHINE_CHECK(cudaMemcpyAsync(device_x.data(), x.data(), k, cudaMemcpyHostToDevice, stream));
    MACHINE_CHECK(cudaGraphLaunch(exec, stream));
    MACHINE_CHECK(cudaStreamSynchronize(stream));
    const std::vector<float> got = both.get();
    wrong = compare(a, x, {0.1f}, {got.begin(), got.begin() + rows});
    if (wrong.empty()) wrong = compare(b, x, {0.1f}, {got.begin() + rows, got.end()});
  }
  MACHINE_CHECK(cudaGraphExecDestroy(exec));
  MACHINE_CHECK(cudaGraphDestroy(graph));
  return wrong;
}

std::string name(const std::string& what, std::initializer_list<int> sizes) {
  std::string all = what;
  for (int size : sizes) all += "_" + std::to_string(size);
  return all;
}

}  // namespace

std::vector<Example> examples() {
  std::vector<Example> all;
  for (int tokens : {1, 2, 3, 5, 8}) {
    for (auto [rows, k] : {std::pair{16, 32}, {48, 320}, {320, 1280}, {64, 4320}}) {
      all.push_back({name("gemv", {tokens, rows, k}), [=, rows = rows, k = k](cudaStream_t stream) { return check_gemv(tokens, rows, k, stream); }});
    }
  }
  for (int tokens : {1, 7, 64, 65, 130}) {
    for (auto [rows, k] : {std::pair{16, 32}, {144, 96}, {320, 320}, {128, 1280}}) {
      all.push_back({name("gemm", {tokens, rows, k}), [=, rows = rows, k = k](cudaStream_t stream) { return check_gemm(tokens, rows, k, stream); }});
    }
  }
  all.push_back({"gemm_33_272_4320", [](cudaStream_t stream) { return check_gemm(33, 272, 4320, stream); }});
  struct Shape {
    int rows, heads, first, splits;
    float size;
  };
  for (const Shape& s : {Shape{1, 4, 0, 1, 1},
                         {1, 4, 15, 1, 1},
                         {1, 4, 16, 3, 1},
                         {1, 2, 517, 4, 4},
                         {8, 3, 100, 2, 2},
                         {17, 2, 0, 1, 4},
                         {50, 2, 33, 2, 1},
                         {65, 1, 0, 1, 8}}) {
    all.push_back({name("attention", {s.rows, s.heads, s.first, s.splits}),
                   [s](cudaStream_t stream) { return check_attention(s.rows, s.heads, s.first, s.splits, s.size, stream); }});
  }
  all.push_back({"graph", check_graph});
  return all;
}

}  // namespace mipha::machine::kernels
