// Attention of many rows on the machine without a GPU, against plain loops in double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "backend/cuda/kernels/kernels.h"
#include "core/half.h"
#include "test/machine/buffer.h"
#include "test/machine/machine.h"

namespace mipha::cuda {
namespace {

using machine::Buffer;

constexpr uint16_t kNan = 0x7E00;

/// Rows of a sequence that look at it: positions first, first + 1, ...
struct Sequence {
  int first, rows;
};

struct Case {
  int head_size, heads, kv_heads;
  std::vector<Sequence> sequences;
  int visible = 0;
  float largest_query = 2, largest_key = 2;
};

std::string words(const Case& one) {
  std::string text = "head size " + std::to_string(one.head_size) + ", heads " + std::to_string(one.heads) + "/" + std::to_string(one.kv_heads) +
                     ", visible " + std::to_string(one.visible) + ", rows from position:";
  for (const Sequence& sequence : one.sequences) text += " " + std::to_string(sequence.rows) + " from " + std::to_string(sequence.first);
  return text;
}

/// A cache whose blocks stand in no order, NaN in every row that no sequence has, and queries.
struct Problem {
  explicit Problem(const Case& of) : of(of), random(static_cast<unsigned>(of.head_size * 31 + of.heads)) {
    for (const Sequence& sequence : of.sequences) {
      lengths.push_back(of.visible > 0 ? of.visible : sequence.first + sequence.rows);
      rows += sequence.rows;
      stride = std::max(stride, (lengths.back() + kBlockRows - 1) / kBlockRows + 1);
    }
    const int count = stride * static_cast<int>(of.sequences.size()) + 3;
    std::vector<int32_t> order(count);
    for (int i = 0; i < count; ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    tables.assign(of.sequences.size() * stride, INT32_MAX);  // of blocks that nobody may look for
    block_stride = int64_t{2} * of.kv_heads * kBlockRows * of.head_size + 64;
    cache.assign(count * block_stride, kNan);
    for (size_t s = 0; s < of.sequences.size(); ++s) {
      for (int b = 0; b * kBlockRows < lengths[s]; ++b) {
        tables[s * stride + b] = order.back();
        order.pop_back();
      }
      for (int part = 0; part < 2; ++part) {
        for (int head = 0; head < of.kv_heads; ++head) {
          for (int position = 0; position < lengths[s]; ++position) {
            uint16_t* row = at(s, part, head, position);
            for (int d = 0; d < of.head_size; ++d) row[d] = to_half(value(part == 0 ? of.largest_key : 2));
          }
        }
      }
    }
    q.resize(static_cast<size_t>(rows) * of.heads * of.head_size);
    for (float& each : q) each = value(of.largest_query);
  }

  float value(float largest) { return std::uniform_real_distribution<float>(-largest, largest)(random); }

  uint16_t* at(size_t sequence, int part, int head, int position) {
    const int64_t block = tables[sequence * stride + position / kBlockRows];
    return &cache[block * block_stride + ((int64_t{part} * of.kv_heads + head) * kBlockRows + position % kBlockRows) * of.head_size];
  }

  /// All rows, in tiles of at most `most`.
  std::vector<QueryTile> tiles(int most) const {
    std::vector<QueryTile> all;
    int row = 0;
    for (size_t s = 0; s < of.sequences.size(); ++s) {
      for (int from = 0; from < of.sequences[s].rows; from += most) {
        const int count = std::min(most, of.sequences[s].rows - from);
        all.push_back({row + from, count, of.sequences[s].first + from, static_cast<int32_t>(s)});
      }
      row += of.sequences[s].rows;
    }
    return all;
  }

  const Case of;
  std::mt19937 random;
  int rows = 0, stride = 0;
  std::vector<int> lengths;
  std::vector<int32_t> tables;  // [sequences][stride]
  int64_t block_stride = 0;
  std::vector<uint16_t> cache;
  std::vector<float> q;
};

/// What the device makes of it, its guard rows at the end unchanged.
std::vector<float> on_device(const Problem& problem, const std::vector<QueryTile>& tiles) {
  const Case& of = problem.of;
  constexpr float kUntouched = 12345;
  const size_t width = static_cast<size_t>(of.heads) * of.head_size;
  const Buffer<float> q(problem.q), out(std::vector<float>((problem.rows + 1) * width, kUntouched));
  const Buffer<uint16_t> cache(problem.cache);
  const Buffer<int32_t> tables(problem.tables);
  const Buffer<QueryTile> device_tiles(tiles);
  const machine::Stream stream;
  Launch launch;
  launch.stream = stream;
  const CacheLayer layer{reinterpret_cast<__half*>(cache.data()), problem.block_stride, of.kv_heads, of.head_size};
  MACHINE_CHECK(attend(launch, q.data(), of.heads, layer, {tables.data(), problem.stride}, device_tiles.data(), static_cast<int>(tiles.size()),
                       of.visible, out.data()));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(machine::take_report(), "");
  std::vector<float> values = out.get();
  for (size_t i = problem.rows * width; i < values.size(); ++i) EXPECT_EQ(values[i], kUntouched);
  values.resize(problem.rows * width);
  return values;
}

/// One head of one row: the exact answer for q as it is halved, and how far a sum of FP32 may be from it.
struct Answer {
  std::vector<double> value, bound;
};

Answer twin(Problem& problem, size_t sequence, int row, int position, int head) {
  const Case& of = problem.of;
  const int seen = of.visible > 0 ? of.visible : position + 1, kv_head = head / (of.heads / of.kv_heads), size = of.head_size;
  const float scale = static_cast<float>(M_LOG2E / std::sqrt(static_cast<double>(size)));
  const float* q = problem.q.data() + (static_cast<size_t>(row) * of.heads + head) * size;
  std::vector<double> score(seen), slack(seen);
  double most = -INFINITY;
  for (int j = 0; j < seen; ++j) {
    const uint16_t* key = problem.at(sequence, 0, kv_head, j);
    double magnitude = 0;
    for (int d = 0; d < size; ++d) {
      const double product = static_cast<double>(from_half(to_half(q[d] * scale))) * from_half(key[d]);
      score[j] += product;
      magnitude += std::fabs(product);
    }
    slack[j] = magnitude * size * 0x1p-23;  // each of `size` additions, by truncation
    most = std::max(most, score[j]);
  }
  // The two scores of a quotient may both be off; 2^-11 halves the weight; 2^-20 the exponential and FP32 sums, one rounding per row and rescaling.
  std::vector<double> weight(seen), doubt(seen);
  double sum = 0, worst = 0;
  for (int j = 0; j < seen; ++j) worst = score[j] + slack[j] >= most - slack[j] - 30 ? std::max(worst, slack[j]) : worst;
  for (int j = 0; j < seen; ++j) sum += weight[j] = std::exp2(score[j] - most);
  const double rounding = 0x1p-11 + seen * 0x1p-22 + 0x1p-20;
  for (int j = 0; j < seen; ++j) doubt[j] = weight[j] * (std::exp2(slack[j] + worst) - 1);
  Answer answer{std::vector<double>(size), std::vector<double>(size)};
  for (int d = 0; d < size; ++d) {
    double& value = answer.value[d];
    for (int j = 0; j < seen; ++j) value += weight[j] / sum * from_half(problem.at(sequence, 1, kv_head, j)[d]);
    double& bound = answer.bound[d];
    for (int j = 0; j < seen; ++j) {
      const double v = from_half(problem.at(sequence, 1, kv_head, j)[d]);
      bound +=
          doubt[j] / sum * std::fabs(v - value) + (weight[j] / sum * rounding + 0x1p-25) * std::fabs(v);  // 2^-25: weights below half's normal range
    }
    bound *= 1.01;
  }
  return answer;
}

/// The largest share of its bound that a difference takes.
double compare(Problem& problem, const std::vector<float>& got) {
  const Case& of = problem.of;
  double worst = 0;
  int row = 0;
  for (size_t s = 0; s < of.sequences.size(); ++s) {
    for (int r = 0; r < of.sequences[s].rows; ++r, ++row) {
      for (int head = 0; head < of.heads; ++head) {
        const Answer expected = twin(problem, s, row, of.sequences[s].first + r, head);
        for (int d = 0; d < of.head_size; ++d) {
          const double value = got[(static_cast<size_t>(row) * of.heads + head) * of.head_size + d];
          const double share = std::fabs(value - expected.value[d]) / expected.bound[d];
          worst = share <= worst ? worst : share;  // keeps NaN
          if (!(share <= 1)) {
            ADD_FAILURE() << "row " << row << ", head " << head << ", column " << d << ": " << value << ", expected " << expected.value[d] << " ± "
                          << expected.bound[d];
            return worst;
          }
        }
      }
    }
  }
  return worst;
}

void check(const Case& one) {
  SCOPED_TRACE(words(one));
  Problem problem(one);
  compare(problem, on_device(problem, problem.tiles(kQueryRows)));
}

constexpr int kHeadSizes[] = {64, 72, 80, 128, 256};

TEST(Attention, OfEveryHeadSizeIsThatOfPlainLoops) {
  for (const int head_size : kHeadSizes) {
    for (const int rows : {1, 15, 16, 17, 64, 65, 130}) check({head_size, 2, 2, {{0, rows}}});
  }
}

TEST(Attention, BeginsAnywhereInABlock) {
  for (const int head_size : kHeadSizes) {
    for (const int first : {5, 31, 32, 200}) check({head_size, 1, 1, {{first, 1}, {first, 33}}});
  }
}

TEST(Attention, OfHeadsThatShareKeys) {
  for (const int head_size : kHeadSizes) {
    for (const auto& [heads, kv_heads] : {std::pair{4, 2}, {3, 1}, {8, 1}, {6, 2}}) check({head_size, heads, kv_heads, {{3, 17}}});
  }
}

TEST(Attention, OfATowerSeesEverything) {
  for (const int head_size : kHeadSizes) {
    for (const int visible : {1, 64, 65}) check({head_size, 2, 2, {{0, visible}}, visible});
  }
  check({72, 1, 1, {{0, 729}}, 729});
}

TEST(Attention, OfManySequencesAtOnce) {
  for (const int head_size : kHeadSizes) check({head_size, 2, 1, {{0, 65}, {200, 1}, {31, 40}, {0, 1}, {64, 64}}});
}

/// Products of a few hundred times a few hundred pass half's range; the twin halves q as the kernel does, so that the winner is the same.
TEST(Attention, KeepsScoresBeyondTheRangeOfHalves) {
  for (const int head_size : kHeadSizes) check({head_size, 2, 1, {{7, 33}}, 0, 400, 400});
  for (const int head_size : kHeadSizes) check({head_size, 1, 1, {{0, 65}}, 65, 300, 600});
}

/// Keys of which one wins at every step, so that all that was added before is scaled away again and again, and keys all alike.
TEST(Attention, FollowsALargestScoreThatMoves) {
  for (const bool rising : {true, false}) {
    Problem problem({80, 1, 1, {{100, 70}}});
    for (float& each : problem.q) each = 1;
    for (int position = 0; position < problem.lengths[0]; ++position) {
      for (int d = 0; d < 80; ++d) problem.at(0, 0, 0, position)[d] = to_half(rising ? 0.05f * static_cast<float>(position) : 0.75f);
    }
    compare(problem, on_device(problem, problem.tiles(kQueryRows)));
  }
}

TEST(Attention, OfARowHasTheSameBitsAloneAndInCompany) {
  for (const int head_size : kHeadSizes) {
    for (const int visible : {0, 90}) {
      const Case one{head_size, 2, 1, {{20, 70}, {0, 20}}, visible};
      SCOPED_TRACE(words(one));
      const Problem problem(one);
      const std::vector<float> together = on_device(problem, problem.tiles(kQueryRows));
      EXPECT_EQ(on_device(problem, problem.tiles(1)), together);
      EXPECT_EQ(on_device(problem, problem.tiles(23)), together);
      std::vector<QueryTile> backwards = problem.tiles(17);
      std::reverse(backwards.begin(), backwards.end());
      EXPECT_EQ(on_device(problem, backwards), together);
    }
  }
}

TEST(Attention, CanBeCaptured) {
  Problem problem({64, 1, 1, {{0, 40}}});
  const Buffer<float> q(problem.q), out(problem.q.size());
  const Buffer<uint16_t> cache(problem.cache);
  const Buffer<int32_t> tables(problem.tables);
  const Buffer<QueryTile> tiles(problem.tiles(kQueryRows));
  const machine::Stream stream;
  Launch launch;
  launch.stream = stream;
  const CacheLayer layer{reinterpret_cast<__half*>(cache.data()), problem.block_stride, 1, 64};
  cudaGraph_t graph;
  cudaGraphExec_t ready;
  MACHINE_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  MACHINE_CHECK(attend(launch, q.data(), 1, layer, {tables.data(), problem.stride}, tiles.data(), 1, 0, out.data()));
  MACHINE_CHECK(cudaStreamEndCapture(stream, &graph));
  MACHINE_CHECK(cudaGraphInstantiate(&ready, graph, 0));
  MACHINE_CHECK(cudaGraphLaunch(ready, stream));
  MACHINE_CHECK(cudaStreamSynchronize(stream));
  EXPECT_EQ(machine::take_report(), "");
  compare(problem, out.get());
  MACHINE_CHECK(cudaGraphExecDestroy(ready));
  MACHINE_CHECK(cudaGraphDestroy(graph));
}

TEST(Attention, OfAHeadSizeThatNoKernelHasIsRefused) {
  EXPECT_EQ(attend({}, nullptr, 1, {nullptr, 0, 1, 96}, {}, nullptr, 1, 0, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace mipha::cuda
