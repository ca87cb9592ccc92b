#include "package/low_rank.h"

#include <algorithm>
#include <cstring>

namespace mipha {
namespace {

typedef float Float4 __attribute__((vector_size(16)));
constexpr int kRows = 4, kVectors = 4, kLanes = 4;
constexpr int kColumns = kVectors * kLanes;

/// kRows × kColumns values stay in registers over all ranks.
void add_block(float* out, const float* b, const float* a, int64_t rank, int64_t columns, float scale) {
  Float4 sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) std::memcpy(sums[r], out + r * columns, sizeof sums[r]);
  for (int64_t k = 0; k < rank; ++k) {
    Float4 right[kVectors];
    std::memcpy(right, a + k * columns, sizeof right);
    for (int r = 0; r < kRows; ++r) {
      const float left = scale * b[r * rank + k];
      for (int v = 0; v < kVectors; ++v) sums[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < kRows; ++r) std::memcpy(out + r * columns, sums[r], sizeof sums[r]);
}

void add_edge(float* out, const float* b, const float* a, int64_t rows, int64_t rank, int64_t columns, int64_t count, float scale) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < count; ++c) {
      for (int64_t k = 0; k < rank; ++k) out[r * columns + c] += scale * b[r * rank + k] * a[k * columns + c];
    }
  }
}

}  // namespace

void add_product(float* out, const float* b, const float* a, int64_t rows, int64_t rank, int64_t columns, float scale) {
  const int64_t whole_rows = rows - rows % kRows, whole_columns = columns - columns % kColumns;
  for (int64_t c = 0; c < whole_columns; c += kColumns) {  // a's columns stay in the cache while all rows pass
    for (int64_t r = 0; r < whole_rows; r += kRows) add_block(out + r * columns + c, b + r * rank, a + c, rank, columns, scale);
  }
  add_edge(out + whole_columns, b, a + whole_columns, whole_rows, rank, columns, columns - whole_columns, scale);
  add_edge(out + whole_rows * columns, b + whole_rows * rank, a, rows - whole_rows, rank, columns, columns, scale);
}

}  // namespace mipha
