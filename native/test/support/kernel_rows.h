// One test body, run for every row of the kernel table: those that this machine can run, and AMX without such a processor on the tile machine.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/tables.h"
#include "core/cpu_features.h"

#if defined(__x86_64__)
#include "test/support/tile_machine.h"
#endif

namespace mipha::test {

/// The row that runs on the tile machine here; null where the processor has AMX itself, or lacks the AVX-512 of the rest of the row.
inline const cpu::Kernels* emulated_row() {
#if defined(__x86_64__)
  if (cpu_features().amx == Amx::kAbsent && cpu::find_kernels("avx512vnni")) return &cpu::kAmxKernels;
#endif
  return nullptr;
}

inline std::vector<const cpu::Kernels*> all_rows() {
  const cpu::KernelList list = cpu::kernels();
  std::vector<const cpu::Kernels*> rows(list.rows, list.rows + list.count);
  if (emulated_row()) rows.push_back(emulated_row());
  return rows;
}

inline std::string row_name(const testing::TestParamInfo<const cpu::Kernels*>& info) {
  return info.param->name;
}

class KernelRow : public testing::TestWithParam<const cpu::Kernels*> {
 protected:
  const cpu::Kernels& kernels = *GetParam();

#if defined(__x86_64__)
  void SetUp() override {
    if (&kernels == emulated_row()) machine_ = std::make_unique<TileMachine>();
  }
  void TearDown() override {
    EXPECT_FALSE(TileMachine::holds_tiles()) << "a kernel returned without releasing its tiles";
  }

 private:
  std::unique_ptr<TileMachine> machine_;
#endif
};

}  // namespace mipha::test
