/// Operations of the tensor cores, one warp at a time: mma for INT8 and FP16, and ldmatrix, which feeds them.
#include <algorithm>

#include "test/machine/addresses.h"

namespace mipha::machine {
namespace {

void check_whole_warp(const Step& step) {
  if (step.lanes != ~0u) fault("reached by the lanes %08x, needs all 32", step.lanes);
}

template <size_t kRows>
void widen(const uint32_t (&words)[kRows][8], int16_t (&values)[kRows][32]) {
  int8_t bytes[kRows][32];
  std::memcpy(bytes, words, sizeof bytes);
  for (size_t i = 0; i < kRows; ++i) std::copy_n(bytes[i], 32, values[i]);
}

/// d0-d3, a0-a3, b0-b1, c0-c3. Lane (g = lane / 4, t = lane % 4) has four neighbours in each register: of A, of rows g, g + 8, g, g + 8, in the
/// first, first, second, second half of a row; of B, of column g, one half of it per register. Results: rows g and g + 8, columns 2t and 2t + 1.
void mma_s8(Step& step) {
  check_whole_warp(step);
  uint32_t a_words[16][8], b_words[8][8];
  for (size_t i = 0; i < 4; ++i) {
    const Row& row = step.row(4 + i);
    for (size_t lane = 0; lane < 32; ++lane) a_words[lane / 4 + i % 2 * 8][i / 2 * 4 + lane % 4] = static_cast<uint32_t>(row[lane]);
  }
  for (size_t i = 0; i < 2; ++i) {
    const Row& row = step.row(8 + i);
    for (size_t lane = 0; lane < 32; ++lane) b_words[lane / 4][i * 4 + lane % 4] = static_cast<uint32_t>(row[lane]);
  }
  alignas(32) int16_t a[16][32], b[8][32];
  widen(a_words, a);
  widen(b_words, b);
  uint32_t c[16][8];  // sums wrap around
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      int32_t sum = 0;
      for (int k = 0; k < 32; ++k) sum += a[i][k] * b[j][k];
      c[i][j] = static_cast<uint32_t>(sum);
    }
  }
  for (size_t i = 0; i < 4; ++i) {
    Row &to = step.row(i), &start = step.row(10 + i);
    for (size_t lane = 0; lane < 32; ++lane) to[lane] = static_cast<uint32_t>(start[lane]) + c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
  }
}

/// As for INT8, two halves in a register. FP32 sums in the order of k; a device adds in an order of its own.
void mma_f16(Step& step) {
  check_whole_warp(step);
  alignas(32) float a[16][16], b[16][8], c[16][8] = {};
  for (size_t i = 0; i < 6; ++i) {
    const Row& row = step.row(4 + i);
    for (size_t lane = 0; lane < 32; ++lane) {
      const size_t g = lane / 4, k = lane % 4 * 2 + (i < 4 ? i / 2 : i - 4) * 8;
      for (size_t half = 0; half < 2; ++half) {
        const float value = half_to_float(static_cast<uint16_t>(row[lane] >> (16 * half)));
        if (i < 4) {
          a[g + i % 2 * 8][k + half] = value;
        } else {
          b[k + half][g] = value;
        }
      }
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  for (size_t i = 0; i < 4; ++i) {
    Row &to = step.row(i), &start = step.row(10 + i);
    for (size_t lane = 0; lane < 32; ++lane) to[lane] = put<float>(get<float>(start[lane]) + c[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]);
  }
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
