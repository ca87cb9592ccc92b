// The backend on NVIDIA GPUs: mipha_cuda.so computes, this side keeps sequences.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/interface.h"

namespace mipha::cuda {

/// Why there is no library on this machine; empty: there is a file.
std::string missing();

/// Throws kBackend without library, driver or device, or when the kernels lack a size of the model; kMemory before taking any.
std::unique_ptr<Backend> create_cuda_backend(std::shared_ptr<const Package> package, int cache_tokens, const Progress& progress);

/// For tests and measurements. `backend` is one of create_cuda_backend().
StepCounts step_counts(const Backend& backend);

}  // namespace mipha::cuda
