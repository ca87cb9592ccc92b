// Matrices and rows for tests of CUDA kernels: as plain numbers, on the device as layout.h has them, and their products in plain loops.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
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

namespace mipha::test {

using machine::Buffer;

class Numbers {
 public:
  explicit Numbers(uint32_t seed) : engine_(seed) {}
  float between(float low, float high) { return low + (high - low) * static_cast<float>(engine_() >> 8) / static_cast<float>(1 << 24); }
  int below(int count) { return static_cast<int>(engine_() % static_cast<uint32_t>(count)); }
  std::vector<float> floats(size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = between(low, high);
    return values;
  }
  template <class T>
  void shuffle(std::vector<T>& values) {
    std::shuffle(values.begin(), values.end(), engine_);
  }

 private:
  std::mt19937 engine_;
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

/// Weights [out][in]: whole numbers within ±127, random or all at an end; with FP16 that as halves within ±1. Scale (1 with FP16) and bias by row.
struct PlainMatrix {
  cuda::Format format;
  int out, in;
  cuda::RowOrder order;
  std::vector<float> weight, scale, bias;

  PlainMatrix(Numbers& numbers, cuda::Format format, int out, int in, cuda::RowOrder order = {}, bool saturated = false)
      : format(format),
        out(out),
        in(in),
        order(order),
        weight(static_cast<size_t>(out) * in),
        scale(format == cuda::Format::kF16 ? std::vector<float>(out, 1.0f) : numbers.floats(out, 0.001f, 0.01f)),
        bias(numbers.floats(out, -1, 1)) {
    for (float& w : weight) {
      const int any = numbers.below(255) - 127;
      const float whole = static_cast<float>(saturated ? (any < 0 ? -127 : 127) : any);
      w = format == cuda::Format::kF16 ? as_half(whole / 127) : whole;
    }
  }
  int depth() const { return cuda::rounded_up(in, cuda::kTileDepth); }
  const float* row(int n) const { return weight.data() + static_cast<size_t>(n) * in; }
};

/// The same on the device. Weights of padding are zero, its scale and bias are not.
class DeviceMatrix {
 public:
  explicit DeviceMatrix(const PlainMatrix& plain)
      : tiles_(packed(plain)), scale_(by_place(plain, plain.scale, 0.5f)), bias_(by_place(plain, plain.bias, 0.25f)) {
    matrix.format = plain.format;
    matrix.tiles = tiles_.data();
    matrix.scale = plain.format == cuda::Format::kF16 ? nullptr : scale_.data();
    matrix.bias = bias_.data();
    matrix.out = plain.out, matrix.in = plain.in, matrix.places = plain.order.places(plain.out), matrix.depth = plain.depth();
    matrix.order = plain.order;
  }
  cuda::Matrix matrix;

 private:
  static std::vector<uint8_t> packed(const PlainMatrix& plain) {
    const bool wide = plain.format == cuda::Format::kF16;
    const int places = plain.order.places(plain.out), across = plain.depth() / cuda::kTileDepth;
    const size_t tile_bytes = wide ? cuda::kF16TileBytes : cuda::kS8TileBytes;
    std::vector<uint8_t> tiles(static_cast<size_t>(places / cuda::kTileRows) * across * tile_bytes);
    for (int place = 0; place < places; ++place) {
      const int row = plain.order.row(place, plain.out);
      for (int column = 0; row >= 0 && column < plain.in; ++column) {
        const float w = plain.weight[static_cast<size_t>(row) * plain.in + column];
        uint8_t* const tile = &tiles[(static_cast<size_t>(place / cuda::kTileRows) * across + column / cuda::kTileDepth) * tile_bytes];
        if (wide) {
          const uint16_t half = to_half(w);
          std::memcpy(tile + 2 * cuda::f16_offset(place % cuda::kTileRows, column % cuda::kTileDepth), &half, 2);
        } else {
          tile[cuda::s8_offset(place % cuda::kTileRows, column % cuda::kTileDepth)] = static_cast<uint8_t>(static_cast<int8_t>(w));
        }
      }
    }
    return tiles;
  }
  static std::vector<float> by_place(const PlainMatrix& plain, const std::vector<float>& values, float padding) {
    std::vector<float> placed(plain.order.places(plain.out), padding);
    for (size_t place = 0; place < placed.size(); ++place) {
      const int row = plain.order.row(static_cast<int>(place), plain.out);
      if (row >= 0) placed[place] = values[row];
    }
    return placed;
  }
  machine::Buffer<uint8_t> tiles_;
  machine::Buffer<float> scale_, bias_;
};

// ---- products of many rows: the operand is given

/// Rows as a product takes them: whole numbers within ±127, or values that FP16 holds, [rows][depth] with zeros from the width on.
struct PlainOperand {
  int rows, width, depth;
  bool wide;
  std::vector<float> values, scale;

  PlainOperand(Numbers& numbers, int rows, const PlainMatrix& w)
      : rows(rows),
        width(w.in),
        depth(w.depth()),
        wide(w.format != cuda::Format::kS8),
        values(static_cast<size_t>(rows) * depth),
        scale(numbers.floats(rows, 0.001f, 0.002f)) {
    for (int i = 0; i < rows * depth; ++i) {
      if (i % depth < width) values[i] = wide ? as_half(numbers.between(-2, 2)) : static_cast<float>(numbers.below(255) - 127);
    }
  }
};

class DeviceOperand {
 public:
  explicit DeviceOperand(const PlainOperand& plain) : values_(bytes(plain)), scale_(plain.scale) {
    operand = {values_.data(), scale_.data(), plain.depth, plain.wide};
  }
  cuda::Operand operand;

 private:
  static std::vector<uint8_t> bytes(const PlainOperand& plain) {
    std::vector<uint8_t> bytes(plain.values.size() * (plain.wide ? 2 : 1));
    for (size_t i = 0; i < plain.values.size(); ++i) {
      const uint16_t bits = plain.wide ? to_half(plain.values[i]) : static_cast<uint8_t>(static_cast<int8_t>(plain.values[i]));
      std::memcpy(&bytes[plain.wide ? 2 * i : i], &bits, plain.wide ? 2 : 1);
    }
    return bytes;
  }
  machine::Buffer<uint8_t> values_;
  machine::Buffer<float> scale_;
};

/// y [rows][out] and how far a kernel may be from it: 0 with INT8 operands, whose sums are exact and whose scales are applied as on the CPU; with
/// FP16 an FP32 sum of `depth` products in any order, each addition truncated.
struct Products {
  std::vector<float> y, bound;

  Products(const PlainOperand& x, const PlainMatrix& w) {
    for (int r = 0; r < x.rows; ++r) {
      for (int n = 0; n < w.out; ++n) {
        double sum = 0, size = 0;  // whole numbers are exact in double
        for (int i = 0; i < w.in; ++i) {
          const double product = static_cast<double>(x.values[static_cast<size_t>(r) * x.depth + i]) * w.weight[static_cast<size_t>(n) * w.in + i];
          sum += product, size += std::fabs(product);
        }
        const float factor = x.scale[r] * w.scale[n], value = static_cast<float>(sum) * factor + w.bias[n];
        y.push_back(value);
        bound.push_back(x.wide ? static_cast<float>(size * factor * x.depth * 0x1p-23 + std::fabs(value) * 0x1p-22) : 0);
      }
    }
  }
};

// ---- products of a few rows: the kernel makes the operand

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
  if (m.format == cuda::Format::kS8) {
    std::vector<int8_t> q(m.in);
    const float scale = cpu::kScalarKernels.quantize(x, m.in, m.in, q.data());
    int32_t sum = 0;
    for (int k = 0; k < m.in; ++k) sum += q[k] * static_cast<int>(w[k]);
    float y;
    cpu::kScalarKernels.dequantize(&sum, scale, &m.scale[n], &m.bias[n], 1, &y, false);
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

}  // namespace mipha::test
