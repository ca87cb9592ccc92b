// Attention of a decode step against a plain softmax in double: every head size, groups of heads, contexts around blocks and splits, NaN behind the
// last row; and its product beside it.
#include "test/support/cuda_matrix.h"

namespace mipha::cuda {
namespace {

using namespace test;

struct Shape {
  int heads, kv_heads, head_size;
};

/// Caches of some sequences, each of its own length; q, smoothing and what attention writes.
struct Sequences {
  Shape shape;
  std::vector<int> lengths;
  int width, stride;
  int64_t block_stride;
  std::vector<float> q, smooth;
  std::vector<uint16_t> cache;
  std::vector<int32_t> table;
  std::vector<Place> places;
  std::unique_ptr<Buffer<float>> device_q, device_smooth, out;
  std::unique_ptr<Buffer<uint16_t>> device_cache;
  std::unique_ptr<Buffer<int32_t>> device_table;
  std::unique_ptr<Buffer<Place>> device_places;
  std::unique_ptr<Buffer<uint32_t>> peak, arrived;

  Sequences(Numbers& numbers, Shape shape, const std::vector<int>& lengths) : shape(shape), lengths(lengths), width(shape.heads * shape.head_size) {
    const int count = static_cast<int>(lengths.size());
    stride = (*std::max_element(lengths.begin(), lengths.end()) + kBlockRows - 1) / kBlockRows + 1;
    block_stride = 2 * shape.kv_heads * kBlockRows * shape.head_size + 16;
    cache.assign(static_cast<size_t>(count * stride * block_stride), 0x7E00);  // NaN wherever there is no row
    for (int i = 0; i < count * stride; ++i) table.push_back(count * stride - 1 - i);
    for (int r = 0; r < count; ++r) {
      const int of = count - 1 - r;  // rows of the tables are in another order
      places.push_back({lengths[r] - 1, of});
      for (int row = 0; row < lengths[r]; ++row) {
        for (int part = 0; part < 2 * shape.kv_heads; ++part) {
          for (int d = 0; d < shape.head_size; ++d) cache[at(r, part, row, d)] = to_half(numbers.between(-2, 2));
        }
      }
    }
    q = numbers.floats(static_cast<size_t>(count) * width, -4, 4);
    smooth = numbers.floats(width, 0.5f, 2);
    device_q = std::make_unique<Buffer<float>>(q);
    device_smooth = std::make_unique<Buffer<float>>(smooth);
    out = std::make_unique<Buffer<float>>(q.size());
    device_cache = std::make_unique<Buffer<uint16_t>>(cache);
    device_table = std::make_unique<Buffer<int32_t>>(table);
    device_places = std::make_unique<Buffer<Place>>(places);
    arrived = std::make_unique<Buffer<uint32_t>>(std::vector<uint32_t>(count * shape.kv_heads, 0));
    peak = std::make_unique<Buffer<uint32_t>>(std::vector<uint32_t>(count, 0));
  }
  size_t at(int sequence, int part, int row, int d) const {
    const int64_t block = table[places[sequence].table * stride + row / kBlockRows];
    return static_cast<size_t>(block * block_stride + (static_cast<int64_t>(part) * kBlockRows + row % kBlockRows) * shape.head_size + d);
  }

  Buffer<float> partial(int splits) const { return Buffer<float>(lengths.size() * shape.heads * splits * (shape.head_size + 2)); }
  DecodeAttention attention(int splits, const Buffer<float>& partial, bool smoothed) const {
    return {device_q->data(),
            static_cast<int>(lengths.size()),
            shape.heads,
            {reinterpret_cast<__half*>(device_cache->data()), block_stride, shape.kv_heads, shape.head_size},
            {device_table->data(), stride},
            device_places->data(),
            splits,
            partial.data(),
            arrived->data(),
            smoothed ? device_smooth->data() : nullptr,
            out->data(),
            peak->data()};
  }

  /// A score is off by head_size FP32 roundings of its terms, its weight by as much and by the 2^-22 of ex2; a sum of weights ≤ 1 times values ≤ 2.
  double tolerance() const { return 2 * 2 * 1.45 * (shape.head_size * 8 / std::sqrt(shape.head_size) * 0x1p-24 + 0x1p-22) + 1e-6; }

  void check(bool smoothed) const {
    const std::vector<float> got = out->get();
    for (size_t r = 0; r < lengths.size(); ++r) {
      for (int head = 0; head < shape.heads; ++head) {
        const int kv_head = head / (shape.heads / shape.kv_heads), sequence = static_cast<int>(r);
        std::vector<double> weights;
        double total = 0;
        for (int row = 0; row < lengths[r]; ++row) {
          double score = 0;
          for (int d = 0; d < shape.head_size; ++d)
            score += q[r * width + head * shape.head_size + d] * static_cast<double>(from_half(cache[at(sequence, kv_head, row, d)]));
          weights.push_back(score / std::sqrt(shape.head_size));
        }
        const double top = *std::max_element(weights.begin(), weights.end());
        for (double& weight : weights) total += weight = std::exp(weight - top);
        for (int d = 0; d < shape.head_size; ++d) {
          double y = 0;
          for (int row = 0; row < lengths[r]; ++row) y += weights[row] / total * from_half(cache[at(sequence, shape.kv_heads + kv_head, row, d)]);
          const int n = head * shape.head_size + d;
          const double by = smoothed ? smooth[n] : 1;
          const std::string what = std::to_string(lengths[r]) + " rows, head " + std::to_string(head) + ", " + std::to_string(d);
          expect_near({y * by, tolerance() * by}, got[r * width + n], what);
          if (testing::Test::HasFatalFailure()) return;
        }
      }
      EXPECT_EQ(peak->get()[r], peak_bits(&got[r * width], width));
    }
    EXPECT_EQ(arrived->get(), std::vector<uint32_t>(arrived->size(), 0));
  }
};

TEST(DecodeAttend, EveryHeadSizeAndGroup) {
  const Shape shapes[] = {{3, 3, 80}, {2, 2, 64}, {2, 1, 72}, {8, 1, 256}, {4, 2, 128}, {5, 1, 64}, {9, 1, 80}, {1, 1, 256}};
  for (const Shape shape : shapes) {
    for (const int splits : {1, 3}) {
      Numbers numbers(static_cast<unsigned>(shape.head_size + splits));
      const Sequences sequences(numbers, shape, {1, 77, 200});
      const Buffer<float> partial = sequences.partial(splits);
      finish(decode_attend({nullptr, 4}, sequences.attention(splits, partial, splits == 3)));
      sequences.check(splits == 3);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(DecodeAttend, LengthsAroundBlocksAndSplits) {
  for (const int splits : {1, 2, 5}) {
    for (const std::vector<int>& lengths : {std::vector<int>{31, 32, 33, 63}, {64, 65, 127, 128, 129}, {319, 320, 321, 2, 9, 17, 7, 8}}) {
      Numbers numbers(static_cast<unsigned>(lengths[0] + splits));
      const Sequences sequences(numbers, {2, 1, 64}, lengths);
      const Buffer<float> partial = sequences.partial(splits);
      finish(decode_attend({nullptr, 4}, sequences.attention(splits, partial, false)));
      sequences.check(false);
      if (HasFatalFailure()) return;
    }
  }
}

/// A second run finds the counters as the first did, and a row alone has the bits that it has among others.
TEST(DecodeAttend, RowsAreAloneInTheirBits) {
  Numbers numbers(4);
  const Sequences sequences(numbers, {4, 2, 80}, {300, 5, 129, 64});
  const Buffer<float> partial = sequences.partial(4);
  const DecodeAttention all = sequences.attention(4, partial, true);
  finish(decode_attend({nullptr, 4}, all));
  const std::vector<float> together = sequences.out->get();
  for (size_t r = 0; r < sequences.lengths.size(); ++r) {
    DecodeAttention one = all;
    one.count = 1;
    one.q += r * sequences.width, one.out += r * sequences.width, one.places += r, one.peak += r;
    finish(decode_attend({nullptr, 4}, one));
  }
  EXPECT_EQ(sequences.out->get(), together);
  sequences.check(true);
}

/// Scores far beyond what exp could take; one row takes all the weight.
TEST(DecodeAttend, LargeScores) {
  Numbers numbers(6);
  Sequences sequences(numbers, {2, 2, 80}, {70});
  for (float& value : sequences.q) value *= 500;
  sequences.device_q = std::make_unique<Buffer<float>>(sequences.q);
  const Buffer<float> partial = sequences.partial(2);
  finish(decode_attend({nullptr, 4}, sequences.attention(2, partial, false)));
  const std::vector<float> got = sequences.out->get();
  for (int head = 0; head < 2; ++head) {
    int best = 0;
    double highest = -INFINITY, second = -INFINITY;
    for (int row = 0; row < 70; ++row) {
      double score = 0;
      for (int d = 0; d < 80; ++d)
        score += sequences.q[head * 80 + d] * static_cast<double>(from_half(sequences.cache[sequences.at(0, head, row, d)]));
      if (score > highest)
        second = highest, highest = score, best = row;
      else
        second = std::max(second, score);
    }
    ASSERT_GT((highest - second) / std::sqrt(80.0), 100);
    for (int d = 0; d < 80; ++d) EXPECT_EQ(got[head * 80 + d], from_half(sequences.cache[sequences.at(0, 2 + head, best, d)]));
  }
}

TEST(DecodeAttendAndDown, DoBoth) {
  for (const Format format : {Format::kS8, Format::kF16, Format::kS8Wide}) {
    for (const Shape shape : {Shape{2, 2, 80}, Shape{4, 1, 64}}) {
      Numbers numbers(8);
      const Sequences sequences(numbers, shape, {100, 3, 260});
      const int splits = 2, out = 90, in = 576, rows = 3;
      const PlainMatrix down(numbers, format, out, in);
      const DeviceMatrix matrix(down);
      const std::vector<float> x = numbers.floats(rows * in, -3, 3);
      const Buffer<float> device_x(x), partial = sequences.partial(splits), to(rows * out);
      std::vector<uint32_t> peaks;
      for (int r = 0; r < rows; ++r) peaks.push_back(peak_bits(&x[r * in], in));
      const Buffer<uint32_t> device_peaks(peaks);
      finish(decode_attend_and_down({nullptr, 1}, sequences.attention(splits, partial, true), {device_x.data(), in, rows, in, device_peaks.data()},
                                    matrix.matrix, {to.data(), out}));
      sequences.check(true);
      const std::vector<float> got = to.get();
      for (int r = 0; r < rows; ++r) {
        for (int n = 0; n < out; ++n) {
          expect_near(given_product(down, &x[r * in], n), got[r * out + n], "row " + std::to_string(r) + ", " + std::to_string(n));
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(DecodeSplits, FillADeviceAndKnowNoBatch) {
  EXPECT_EQ(decode_splits(32, 2048, 16), 1);   // Phi-2 on Orin
  EXPECT_EQ(decode_splits(32, 2048, 132), 9);  // on an H100: 288 blocks for 264 places
  EXPECT_EQ(decode_splits(1, 8192, 20), 40);
  EXPECT_EQ(decode_splits(1, 100, 132), 2);  // four blocks of rows, two for each
  EXPECT_EQ(decode_splits(8, 20, 132), 1);
}

}  // namespace
}  // namespace mipha::cuda
