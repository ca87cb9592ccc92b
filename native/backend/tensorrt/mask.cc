#include "backend/tensorrt/mask.h"

#include <algorithm>

namespace mipha::tensorrt {

void build_mask(const RowTables& sequences, const std::vector<int>& sequences_of, int past, float* out) {
  const int rows = static_cast<int>(sequences_of.size());
  const size_t columns = static_cast<size_t>(past) + rows;
  for (int row = 0; row < rows; ++row) {
    float* const to = out + row * columns;
    if (row > 0 && sequences_of[row] == sequences_of[row - 1]) {  // sees what its neighbour sees, and itself
      std::copy_n(to - columns, columns, to);
    } else {
      std::fill_n(to, columns, kHidden);
      for (int seen : sequences.rows(sequences_of[row])) to[seen] = 0;
      for (int earlier = 0; earlier < row; ++earlier) {
        if (sequences_of[earlier] == sequences_of[row]) to[past + earlier] = 0;
      }
    }
    to[past + row] = 0;
  }
}

}  // namespace mipha::tensorrt
