// Which models the kernels have sizes for.
#pragma once

#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace mipha::cuda {

/// Empty, or what is not there: "language.headSize 136: expected 64, 72, 80, 128 or 256".
std::string unsupported(const Config& config, const Weights& weights);

}  // namespace mipha::cuda
