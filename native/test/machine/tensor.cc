/// Operations of the tensor cores, one warp at a time: mma for INT8 and FP16, and ldmatrix, which feeds them.
#include "test/machine/addresses.h"

namespace mipha::machine {
namespace {

void check_whole_warp(const Step& step) {
  if (step.lanes != ~0u) fault("reached by the lanes %08x, needs all 32", step.lanes);
}

/// C[16][8] = A[16][K] · B[K][8]. Exact for INT8: products and sums stay below 2^24.
template <int K>
void multiply(const float (&a)[16][K], const float (&b)[K][8], float (&c)[16][8]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) c[i][j] = 0;
    for (int k = 0; k < K; ++k) {
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
}

/// Lane (g = lane / 4, t = lane % 4) has of A, per register: rows g, g + 8, g, g + 8 at columns of the first, first, second, second half; of B column
/// g, per register one half of the rows. Within a half it has kEach elements, from kEach * t. value(register, element) of a lane is a float.
template <int K, class Value>
void operands(float (&a)[16][K], float (&b)[K][8], int lane, Value value) {
  constexpr int kHalf = K / 2, kEach = kHalf / 4;
  const int g = lane / 4, t = lane % 4;
  for (int element = 0; element < kEach; ++element) {
    for (int i = 0; i < 4; ++i) a[g + i % 2 * 8][i / 2 * kHalf + t * kEach + element] = value(4 + i, element);
    for (int i = 0; i < 2; ++i) b[i * kHalf + t * kEach + element][g] = value(8 + i, element);
  }
}

/// Four results a lane: rows g and g + 8, columns 2t and 2t + 1.
template <class T>
void accumulate(Step& step, const float (&c)[16][8]) {
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const float product = c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
      const uint64_t start = step.row(static_cast<size_t>(10 + i))[lane];
      uint64_t& result = step.row(static_cast<size_t>(i))[lane];
      if constexpr (std::is_integral_v<T>) {
        result = static_cast<uint32_t>(start) + static_cast<uint32_t>(static_cast<int32_t>(product));
      } else {
        result = put<float>(get<float>(start) + product);
      }
    }
  }
}

/// d0-d3, a0-a3, b0-b1, c0-c3.
void mma_s8(Step& step) {
  check_whole_warp(step);
  alignas(64) float a[16][32], b[32][8], c[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    operands<32>(a, b, lane, [&](int i, int element) { return float(static_cast<int8_t>(step.row(static_cast<size_t>(i))[lane] >> (8 * element))); });
  }
  multiply<32>(a, b, c);
  accumulate<int32_t>(step, c);
}

/// FP16 operands, FP32 sums in the order of k; a device adds in an order of its own.
void mma_f16(Step& step) {
  check_whole_warp(step);
  alignas(64) float a[16][16], b[16][8], c[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    operands<16>(a, b, lane,
                 [&](int i, int element) { return half_to_float(static_cast<uint16_t>(step.row(static_cast<size_t>(i))[lane] >> (16 * element))); });
  }
  multiply<16>(a, b, c);
  accumulate<float>(step, c);
}

/// Matrices of 8 × 8 halves; lane 8m + r has the address of row r of matrix m. Each lane gets two neighbours of a row, or of a column.
template <size_t kMatrices, bool kTranspose>
void load_matrix(Step& step) {
  check_whole_warp(step);
  uint16_t matrices[kMatrices][8][8];
  Row& address = step.row(kMatrices);
  Locator locate(step, Space::kShared);
  for (size_t lane = 0; lane < 8 * kMatrices; ++lane) {
    std::memcpy(matrices[lane / 8][lane % 8], locate(static_cast<int>(lane), address[lane], 16, Access::kRead), 16);
  }
  for (size_t m = 0; m < kMatrices; ++m) {
    const auto& matrix = matrices[m];
    for (int lane = 0; lane < 32; ++lane) {
      const int r = lane / 4, c = lane % 4 * 2;
      const uint16_t low = kTranspose ? matrix[c][r] : matrix[r][c], high = kTranspose ? matrix[c + 1][r] : matrix[r][c + 1];
      step.row(m)[lane] = uint32_t{high} << 16 | low;
    }
  }
}

}  // namespace

void add_tensor(Operations& all) {
  all["mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32"] = mma_s8;
  all["mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"] = mma_f16;
  const std::string name = "ldmatrix.sync.aligned.m8n8.";
  all[name + "x1.shared.b16"] = load_matrix<1, false>;
  all[name + "x2.shared.b16"] = load_matrix<2, false>;
  all[name + "x4.shared.b16"] = load_matrix<4, false>;
  all[name + "x1.trans.shared.b16"] = load_matrix<1, true>;
  all[name + "x2.trans.shared.b16"] = load_matrix<2, true>;
  all[name + "x4.trans.shared.b16"] = load_matrix<4, true>;
}

}  // namespace mipha::machine
