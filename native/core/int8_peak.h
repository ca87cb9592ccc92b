// How many INT8 operations this machine does: the ceiling of everything with many rows.
#pragma once

#include "core/thread_pool.h"

namespace mipha {

/// Multiplications and additions per second with all threads of the pool, from registers alone; the best of several passes. By AVX-512
/// VNNI, SMMLA or SDOT; 0: the processor has none of these, and nothing was measured. Takes about a tenth of a second.
double int8_peak(ThreadPool& pool);

}  // namespace mipha
