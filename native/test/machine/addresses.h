/// From addresses in registers to memory of this process, checked.
#pragma once

#include "test/machine/lanes.h"

namespace mipha::machine {

/// For one step: remembers the region, which is mostly that of the lane before.
class Locator {
 public:
  explicit Locator(Step& step) : Locator(step, step.instruction.space) {}
  Locator(Step& step, Space space) : step_(step), space_(space) {}
  /// The instruction's offset is added; bytes are the alignment too.
  char* operator()(int lane, uint64_t address, size_t bytes, Access access);

 private:
  Step& step_;
  Space space_;
  Region* region_ = nullptr;
};

}  // namespace mipha::machine
