// The Backend interface on the CPU.
#pragma once

#include <memory>

#include "backend/backend.h"

namespace mipha::cpu {

/// Plans, checks that the memory is there, allocates, packs.
std::unique_ptr<Backend> create_cpu_backend(std::shared_ptr<const Package> package, const BackendOptions& options, const Progress& progress);

}  // namespace mipha::cpu
