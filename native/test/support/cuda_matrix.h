// A Linear as plain numbers and as the kernels of the CUDA backend take it, and its products in plain loops.
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "backend/cuda/kernels/kernels.h"
#include "core/half.h"
#include "test/machine/buffer.h"

namespace mipha::test {

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

 private:
  std::mt19937 engine_;
};

/// Weights [out][in] that FP16 holds exactly; whole numbers within ±127 where they are INT8.
struct PlainMatrix {
  cuda::Format format = cuda::Format::kS8;
  int out = 0, in = 0;
  cuda::RowOrder order;
  std::vector<float> weight, scale, bias;  // scale is 1 with FP16

  PlainMatrix(Numbers& numbers, cuda::Format format, int out, int in, cuda::RowOrder order = {})
      : format(format), out(out), in(in), order(order), weight(static_cast<size_t>(out) * in), bias(numbers.floats(out, -1, 1)) {
    const bool bytes = format != cuda::Format::kF16;
    for (float& w : weight) w = bytes ? static_cast<float>(numbers.below(255) - 127) : from_half(to_half(numbers.between(-0.1f, 0.1f)));
    scale = bytes ? numbers.floats(out, 0.0005f, 0.001f) : std::vector<float>(out, 1.0f);
  }
  int depth() const { return cuda::rounded_up(in, cuda::kTileDepth); }
};

/// The same on the device.
class DeviceMatrix {
 public:
  explicit DeviceMatrix(const PlainMatrix& plain) : tiles_(packed(plain)), scale_(by_place(plain, plain.scale)), bias_(by_place(plain, plain.bias)) {
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
  static std::vector<float> by_place(const PlainMatrix& plain, const std::vector<float>& values) {
    std::vector<float> placed(plain.order.places(plain.out));
    for (size_t place = 0; place < placed.size(); ++place) {
      const int row = plain.order.row(static_cast<int>(place), plain.out);
      placed[place] = row < 0 ? 0 : values[row];
    }
    return placed;
  }
  machine::Buffer<uint8_t> tiles_;
  machine::Buffer<float> scale_, bias_;
};

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
      if (i % depth < width) values[i] = wide ? from_half(to_half(numbers.between(-2, 2))) : static_cast<float>(numbers.below(255) - 127);
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

}  // namespace mipha::test
