// What only the TensorRT backend is told.
#pragma once

#include <string>

namespace mipha::tensorrt {

struct Options {
  std::string library;  // path of mipha_tensorrt.so; empty: default_library()
  std::string plans;    // folder of the package's engines for this machine
};

}  // namespace mipha::tensorrt
