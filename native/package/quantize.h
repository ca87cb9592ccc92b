// Matrices to symmetric INT8 with one scale per output row: W[r, c] ≈ weight[r, c] · scale[r].
#pragma once

#include <cstdint>

namespace mipha {

enum class SourceType { kBF16, kF16, kF32 };

/// Rows whose largest magnitude is below this become all zeros: their scale would leave the normal range of a float.
constexpr float kSmallestRow = 0x1p-100f;

/// source: [rows, columns] values of `type`, little-endian, row-major, of any alignment. Writes weight [rows, columns] in [-127, 127] and scale
/// [rows]. The scale of a row is max|w| / 127 times the factor among 1, 63/64, … 51/64 with the smallest squared error (the larger one among equals);
/// values round half to even and saturate at ±127. A row of zeros gets scale 0. The bytes are the same on every machine and for every split of the
/// rows. Throws kModelFormat on a NaN or infinity, naming column and row; rows are counted from `first_row` (a part of a larger matrix).
/// `half_scales`: each scale is rounded to an FP16 value of at least 2^-14 before the row is written with it, for graphs whose scales are FP16;
/// kModelFormat for a row that would need a larger one than FP16 has.
void quantize_rows(const void* source, SourceType type, int64_t rows, int64_t columns, int8_t* weight, float* scale, int64_t first_row = 0,
                   bool half_scales = false);

}  // namespace mipha
