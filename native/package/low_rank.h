// Merging a LoRA adapter into a weight (arXiv 2106.09685).
#pragma once

#include <cstdint>

namespace mipha {

/// out [rows, columns] += scale · b [rows, rank] · a [rank, columns], all f32 row-major. Each value is summed in the order of the ranks, so the
/// result does not depend on how rows are divided, nor on the machine.
void add_product(float* out, const float* b, const float* a, int64_t rows, int64_t rank, int64_t columns, float scale);

}  // namespace mipha
