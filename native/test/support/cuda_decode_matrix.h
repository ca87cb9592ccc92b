// Matrices and rows for tests of CUDA kernels: as plain numbers, and on the device as layout.h has them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/tables.h"
#include "backend/cuda/kernels/kernels.h"
#include "core/half.h"
#include "test/machine/buffer.h"
#include "test/machine/machine.h"

namespace mipha::cuda::test {

using machine::Buffer;

struct Random {
  std::mt19937 engine;
  explicit Random(unsigned seed) : engine(seed) {}
  float between(float low, float high) { return low + (high - low) * static_cast<float>(engine() >> 8) / static_cast<float>(1 << 24); }
  std::vector<float> floats(size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = between(low, high);
    return values;
  }
};

inline float as_half(float value) {
  return from_half(to_half(value));
}

/// Waits, and no check of the machine has spoken.
inline void finish(cudaError_t launched) {
  EXPECT_EQ(launched, cudaSuccess) << cudaGetErrorString(launched);
  const cudaError_t error = cudaDeviceSynchronize();
  EXPECT_EQ(machine::take_report(), "");
  ASSERT_EQ(error, cudaSuccess);
}

/// out × in weights, random or all ±127 (FP16: ±1); scale and bias by row.
struct PlainMatrix {
  Format format;
  int out, in;
  RowOrder order;
  std::vector<float> weight, scale, bias;  // weight [out][in], whole numbers with INT8, halves with FP16
  std::unique_ptr<Buffer<int8_t>> tiles{};
  std::unique_ptr<Buffer<float>> device_scale{}, device_bias{};

  PlainMatrix(Random& random, Format format, int out, int in, RowOrder order = {}, bool saturated = false)
      : format(format),
        out(out),
        in(in),
        order(order),
        weight(static_cast<size_t>(out) * in),
        scale(format == Format::kF16 ? std::vector<float>(out, 1.0f) : random.floats(out, 0.001f, 0.01f)),
        bias(random.floats(out, -1, 1)) {
    for (float& w : weight) {
      const int any = static_cast<int>(random.engine() % 255) - 127;
      const float whole = static_cast<float>(saturated ? (any < 0 ? -127 : 127) : any);
      w = format == Format::kF16 ? as_half(whole / 127) : whole;
    }
    const Matrix shape = view();
    std::vector<int8_t> bytes(static_cast<size_t>(shape.places) / 16 * (shape.depth / 32) * tile_bytes(), 0);
    std::vector<float> scales(shape.places, 0.5f), biases(shape.places, 0.25f);
    for (int place = 0; place < shape.places; ++place) {
      const int row = order.row(place, out);
      if (row < 0) continue;
      scales[place] = scale[row], biases[place] = bias[row];
      for (int k = 0; k < in; ++k) put(bytes, shape, place, k, weight[static_cast<size_t>(row) * in + k]);
    }
    tiles = std::make_unique<Buffer<int8_t>>(bytes);
    device_scale = std::make_unique<Buffer<float>>(scales);
    device_bias = std::make_unique<Buffer<float>>(biases);
  }

  size_t tile_bytes() const { return format == Format::kF16 ? kF16TileBytes : kS8TileBytes; }
  void put(std::vector<int8_t>& bytes, const Matrix& shape, int place, int k, float value) const {
    int8_t* const tile = bytes.data() + (static_cast<size_t>(place / 16) * (shape.depth / 32) + k / 32) * tile_bytes();
    if (format == Format::kF16) {
      const uint16_t half = to_half(value);
      std::memcpy(tile + 2 * f16_offset(place % 16, k % 32), &half, 2);
    } else {
      tile[s8_offset(place % 16, k % 32)] = static_cast<int8_t>(value);
    }
  }

  Matrix view() const {
    Matrix m;
    m.format = format;
    m.out = out, m.in = in, m.order = order;
    m.places = order.places(out), m.depth = rounded_up(in, 32);
    if (tiles) m.tiles = tiles->data(), m.scale = format == Format::kF16 ? nullptr : device_scale->data(), m.bias = device_bias->data();
    return m;
  }
  const float* row(int n) const { return weight.data() + static_cast<size_t>(n) * in; }
};

inline uint32_t peak_bits(const float* x, int count) {
  uint32_t peak = 0;
  for (int i = 0; i < count; ++i) peak = x[i] == x[i] ? std::max(peak, bits_of_float(std::fabs(x[i]))) : peak;
  return peak;
}

/// y and how far a right result may be from it.
struct Expected {
  double y, tolerance;
};
inline void expect_near(const Expected& expected, float got, const std::string& what) {
  const double difference = std::fabs(got - expected.y);
  ASSERT_TRUE(difference <= expected.tolerance) << what << ": " << got << ", expected " << expected.y << " within " << expected.tolerance;
}

/// Row x times row n of the matrix, when x is known to the bit.
inline Expected given_product(const PlainMatrix& m, const float* x, int n) {
  const float* w = m.row(n);
  if (m.format == Format::kS8) {
    std::vector<int8_t> q(m.in);
    const float scale = cpu::kScalarKernels.quantize(x, m.in, m.in, q.data());
    int32_t sum = 0;
    for (int k = 0; k < m.in; ++k) sum += q[k] * static_cast<int>(w[k]);
    float y;
    cpu::kScalarKernels.dequantize(&sum, scale, &m.scale[n], &m.bias[n], 1, &y);
    return {y, 0};
  }
  const float power = float_from_bits(peak_bits(x, m.in) & 0x7F800000u);
  double sum = 0, size = 0;
  for (int k = 0; k < m.in; ++k) {
    const double term = power == 0 ? 0 : static_cast<double>(as_half(x[k] / power)) * power * w[k] * m.scale[n];
    sum += term, size += std::fabs(term);
  }
  return {sum + m.bias[n], (size * m.in + std::fabs(m.bias[n])) * 0x1p-22};
}

}  // namespace mipha::cuda::test
