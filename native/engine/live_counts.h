// How many objects are alive in this process: leak tests look at them, nothing else does.
#pragma once

#include <atomic>

namespace mipha {

struct LiveCounts {
  std::atomic<int> engines{0};
  std::atomic<int> views{0};
  std::atomic<int> conversations{0};
  std::atomic<int> jobs{0};
};

LiveCounts& live_counts();

}  // namespace mipha
