// The Backend interface on TensorRT.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"

namespace mipha::tensorrt {

/// Path of the library: what MIPHA_TENSORRT names, else mipha_tensorrt.so beside the file that this code is in.
std::string default_library();

/// Why the backend cannot be had on this machine, as far as one can tell without touching the GPU; empty: nothing speaks against it.
std::string missing();

/// Loads the engines of `options.plans` and checks each against the stored tensors of the package. `cache_tokens` as in BackendOptions. Throws
/// kModelMissing when there are no engines, kBackend when they are not for this machine, kSelfTest when one computes something else.
std::unique_ptr<Backend> create_tensorrt_backend(std::shared_ptr<const Package> package, int cache_tokens, const Options& options,
                                                 const Progress& progress);

}  // namespace mipha::tensorrt
