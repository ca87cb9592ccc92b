// The Backend interface on the CPU.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace mipha::cpu {

/// Plans, checks that the memory is there, allocates, packs. `cache_tokens` as in BackendOptions.
std::unique_ptr<Backend> create_cpu_backend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options,
                                            const Progress& progress);

}  // namespace mipha::cpu
