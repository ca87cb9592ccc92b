// Which row sees which: what makes several sequences in the same rows one run.
#pragma once

#include <vector>

#include "backend/tensorrt/rows.h"

namespace mipha::tensorrt {

constexpr float kHidden = -60000.0f;  // added to a score: nothing is left of it, and FP16 can hold it

/// `sequences_of`: for each new row the sequence that it continues; rows of one sequence in the order of their positions, not placed yet.
/// out [rows, past + rows]: 0 where the row sees a row of the cache or a new one, else kHidden.
void build_mask(const RowTables& sequences, const std::vector<int>& sequences_of, int past, float* out);

}  // namespace mipha::tensorrt
