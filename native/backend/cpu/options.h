// What only the CPU backend is told.
#pragma once

#include <string>

namespace mipha::cpu {

struct Options {
  int threads = 0;              // 0: one per physical core
  std::string isa;              // force a row of the kernel table ("scalar", "avx2", …); empty: the best this machine has
  bool stream_weights = false;  // pack each layer when it is used instead of at load: slow, but needs memory for one layer only
};

}  // namespace mipha::cpu
