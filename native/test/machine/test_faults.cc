// Every check of the machine fires at what it is for, and says where.
#include <gtest/gtest.h>

#include "test/machine/buffer.h"
#include "test/machine/kernels/launch.h"
#include "test/machine/machine.h"

namespace mipha::machine {
namespace {

struct Expected {
  const char* kernel;
  unsigned blocks, threads;
  const char* words;
};

const Expected kFaults[] = {
    {"shared_race", 1, 64, "race in shared memory at byte 0: read here, written by thread 0 of this block"},
    {"shared_overwritten", 1, 64, "race in shared memory at byte 128: written here, read by thread 0 of this block"},
    {"shuffle_for_a_barrier", 1, 32, "race in shared memory"},
    {"uninitialised_shared", 1, 32, "uninitialised shared memory read at byte 0"},
    {"uninitialised_device", 1, 32, "uninitialised device memory read at offset 0"},
    {"device_overrun", 1, 32, "4 bytes at offset 4096 of device memory with 4096 bytes: out of bounds"},
    {"device_underrun", 1, 32, "4 bytes at offset -4 of device memory with 4096 bytes: out of bounds"},
    {"shared_overrun", 1, 64, "4 bytes at offset 4096 of shared memory with 4096 bytes: out of bounds"},
    {"misaligned", 1, 32, "access of 8 bytes at offset 4 is misaligned"},
    {"no_memory", 1, 32, "access through a pointer to no allocation (0x10)"},
    {"blocks_race", 2, 32, "race in device memory at byte 0: written here, written by thread 0 of another block"},
    {"blocks_read", 2, 32, "race in device memory"},
    {"atomic_and_store", 1, 64, "race in device memory at byte 0"},
    {"last_block_without_fence", 2, 32, "race in device memory at byte 0: read here, written by thread 0 of another block"},
    {"barriers_of_two_branches", 1, 64, "barrier while others wait in the one at faulty.cu:"},
    {"barrier_for_some", 1, 64, "ends while others wait in the barrier at faulty.cu:"},
    {"barrier_after_end", 1, 64, "barrier after 32 threads have ended"},
    {"ends_with_copies", 1, 32, "ends with cp.async copies that it never waited for"},
    {"copy_not_waited_for", 1, 64, "shared memory at byte 0 read before its cp.async was waited for"},
    {"copy_of_another_thread", 1, 64, "race in shared memory"},
    {"copy_misaligned", 1, 32, "access of 16 bytes at 0x"},
    {"copy_too_long", 1, 32, "cp.async of 17 bytes out of 16"},
    {"mma_by_some", 1, 32, "reached by the lanes 0000ffff, needs all 32"},
    {"ldmatrix_misaligned", 1, 64, "access of 16 bytes at offset 8 is misaligned"},
    {"shuffle_by_some", 1, 32, "for the lanes ffffffff, reached together by 0000ffff only"},
    {"shuffle_from_outside", 1, 32, "lane 0 reads lane 20, which is not among the members 0000ffff"},
    {"vote_by_some", 1, 32, "for the lanes ffffffff, reached together by 0000ffff only"},
    {"warp_barrier_by_some", 1, 32, "reached by the lanes 0000ffff of ffffffff"},
    {"divides_by_zero", 1, 32, "integer division by zero"},
    {"traps", 1, 32, "trap"},
};

void PrintTo(const Expected& expected, std::ostream* out) {
  *out << expected.kernel;
}

class Faults : public testing::TestWithParam<Expected> {
 protected:
  const Buffer<int> a{std::vector<int>(1024)}, b{32};
};

TEST_P(Faults, AreNamedWithTheirPlace) {
  const Expected& expected = GetParam();
  for (uint32_t seed : {0, 5}) {
    options().seed = seed;
    MACHINE_CHECK(kernels::launch(expected.kernel, expected.blocks, expected.threads, nullptr, a.data(), b.data()));
    ASSERT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(kernels::launch("reads", 1, 32, nullptr, a.data(), b.data()), cudaErrorLaunchFailure);  // it stays
    const std::string report = take_report();
    EXPECT_NE(report.find(expected.kernel), std::string::npos) << report;
    EXPECT_NE(report.find("faulty.cu:"), std::string::npos) << report;
    if (seed == 0) {
      EXPECT_NE(report.find(expected.words), std::string::npos) << report;
    }
    MACHINE_CHECK(cudaMemset(a.data(), 0, 4096));
  }
  options().seed = 0;
}
INSTANTIATE_TEST_SUITE_P(All, Faults, testing::ValuesIn(kFaults), [](const auto& info) { return std::string(info.param.kernel); });

class Lifetimes : public Faults {};

TEST_F(Lifetimes, AddressesAreNeverGivenOutAgain) {
  int* freed;
  {
    const Buffer<int> short_lived{std::vector<int>(32)};
    freed = short_lived.data();
  }
  const Buffer<int> next{std::vector<int>(32)};
  EXPECT_NE(next.data(), freed);
  MACHINE_CHECK(kernels::launch("reads", 1, 32, nullptr, freed, b.data()));
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_NE(take_report().find("use after free"), std::string::npos);
}

TEST_F(Lifetimes, HostsThatTouchDeviceMemoryEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  volatile int* data = a.data();
  EXPECT_DEATH({ data[0] = 1; }, "");
}

class Unknown : public Faults {
 protected:
  void runs(const char* kernel) { (void)kernels::launch(kernel, 1, 32, nullptr, a.data(), b.data()); }
};

TEST_F(Unknown, PtxEndsTheProcessWithItsText) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(runs("uses_an_unknown_instruction"), "does not know this PTX \\(instruction\\): vabsdiff4.s32.s32.s32 .* \\[faulty.cu:");
  EXPECT_DEATH(runs("uses_an_unknown_modifier"), "instruction\\): add.ftz.f32");
  EXPECT_DEATH(runs("uses_a_stack"), "declaration\\): .local");
  EXPECT_DEATH(runs("uses_another_barrier"), "only barrier 0, for all threads\\): bar.sync 1, 64");
}

TEST_F(Unknown, RightKernelsAreNotReported) {
  MACHINE_CHECK(kernels::launch("reads", 1, 64, nullptr, a.data(), b.data()));
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(take_report(), "");
}

}  // namespace
}  // namespace mipha::machine
