// What only the CUDA backend is told.
#pragma once

#include <string>

namespace mipha::cuda {

struct Options {
  std::string library;  // path of mipha_cuda.so; empty: default_library()
};

}  // namespace mipha::cuda
