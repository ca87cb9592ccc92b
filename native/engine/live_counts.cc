#include "engine/live_counts.h"

namespace mipha {

LiveCounts& live_counts() {
  static LiveCounts counts;
  return counts;
}

}  // namespace mipha
