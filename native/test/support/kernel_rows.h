// One test body, run for every row of the kernel table that this machine can run.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "backend/cpu/kernels.h"

namespace mipha::test {

class KernelRow : public testing::TestWithParam<const cpu::Kernels*> {
 protected:
  const cpu::Kernels& kernels = *GetParam();
};

inline std::vector<const cpu::Kernels*> all_rows() {
  const cpu::KernelList list = cpu::kernels();
  return {list.rows, list.rows + list.count};
}

inline std::string row_name(const testing::TestParamInfo<const cpu::Kernels*>& info) {
  return info.param->name;
}

}  // namespace mipha::test
