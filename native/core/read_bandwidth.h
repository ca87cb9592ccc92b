// How fast this machine reads memory: the ceiling of decoding, which reads every weight once per token.
#pragma once

#include "core/thread_pool.h"

namespace mipha {

/// Bytes per second with all threads of the pool reading, each one linear stream far larger than any cache; the best of several passes.
/// Takes 256 MiB and about a third of a second. Throws kMemory.
double read_bandwidth(ThreadPool& pool);

}  // namespace mipha
