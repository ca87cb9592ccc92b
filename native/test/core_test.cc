// Errors, halves, mapped files, and what the machine says about itself.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <thread>

#include "core/cpu_features.h"
#include "core/error.h"
#include "core/half.h"
#include "core/mapped_file.h"

namespace mipha {
namespace {

/// A folder that goes away with the test.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mipha-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }

  std::string path() const { return path_; }
  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ + "/" + name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }

 private:
  std::string path_;
};

// ---- errors ----

TEST(Error, HasTheNamesThatTypeScriptKnows) {
  EXPECT_STREQ(code_name(Code::kOption), "ERR_OPTION");
  EXPECT_STREQ(code_name(Code::kModelMissing), "ERR_MODEL_MISSING");
  EXPECT_STREQ(code_name(Code::kModelFormat), "ERR_MODEL_FORMAT");
  EXPECT_STREQ(code_name(Code::kBackend), "ERR_BACKEND_UNAVAILABLE");
  EXPECT_STREQ(code_name(Code::kMemory), "ERR_MEMORY");
  EXPECT_STREQ(code_name(Code::kImage), "ERR_IMAGE");
  EXPECT_STREQ(code_name(Code::kContextFull), "ERR_CONTEXT_FULL");
  EXPECT_STREQ(code_name(Code::kDisposed), "ERR_DISPOSED");
  EXPECT_STREQ(code_name(Code::kInternal), "ERR_INTERNAL");
}

// ---- halves ----

TEST(Half, MeansWhatTheStandardSays) {
  for (int bits = 0; bits < 65536; ++bits) {
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const float sign = bits & 0x8000 ? -1.0f : 1.0f, value = from_half(static_cast<uint16_t>(bits));
    if (exponent == 31 && mantissa != 0) {
      EXPECT_TRUE(std::isnan(value)) << bits;
    } else if (exponent == 31) {
      EXPECT_EQ(value, sign * std::numeric_limits<float>::infinity());
    } else {
      EXPECT_EQ(value, sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25))) << bits;
      EXPECT_EQ(std::signbit(value), (bits & 0x8000) != 0);
    }
  }
}

TEST(Half, ComesBackUnchanged) {
  for (int bits = 0; bits < 65536; ++bits) {
    const float value = from_half(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(from_half(to_half(value)))) << bits;
    } else {
      EXPECT_EQ(to_half(value), bits);
    }
  }
}

TEST(Half, RoundsToNearestAndTiesToEven) {
  for (int bits = 0; bits < 0x7c00; ++bits) {  // every finite half and the one above it; 65504 is followed by 65536, which is infinity
    const float low = from_half(static_cast<uint16_t>(bits));
    const float high = bits + 1 == 0x7c00 ? 65536.0f : from_half(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    const int even = bits % 2 == 0 ? bits : bits + 1;
    for (const int sign : {0, 0x8000}) {
      const float direction = sign ? -1.0f : 1.0f;
      ASSERT_EQ(to_half(direction * middle), even | sign) << bits;
      ASSERT_EQ(to_half(direction * std::nextafter(middle, 0.0f)), bits | sign) << bits;
      ASSERT_EQ(to_half(direction * std::nextafter(middle, 1e9f)), (bits + 1) | sign) << bits;
    }
  }
  EXPECT_EQ(to_half(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(to_half(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(to_half(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Half, Bfloat16IsTheUpperHalfOfAFloat) {
  for (uint32_t bits = 0; bits < 65536; ++bits) EXPECT_EQ(bits_of_float(from_bfloat16(static_cast<uint16_t>(bits))), bits << 16);
}

// ---- mapped files ----

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const Folder folder;
  const MappedFile file(folder.write("bytes", "hello"));
  ASSERT_EQ(file.bytes(), 5u);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.data()), 5), "hello");
  EXPECT_EQ(file.path(), folder.path() + "/bytes");
}

TEST(MappedFile, HoldsAnEmptyFile) {
  const Folder folder;
  const MappedFile file(folder.write("empty", ""));
  EXPECT_EQ(file.bytes(), 0u);
  EXPECT_EQ(file.data(), nullptr);
  file.release(file.data(), 0);
}

void expect_refusal(const std::string& path, Code code) {
  try {
    MappedFile file(path);
    FAIL() << path;
  } catch (const Error& error) {
    EXPECT_EQ(error.code, code) << error.what();
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
  }
}

TEST(MappedFile, RefusesByNameWhatItCannotMap) {
  const Folder folder;
  expect_refusal(folder.path() + "/absent", Code::kModelMissing);
  expect_refusal(folder.path(), Code::kModelFormat);
  const std::string pipe = folder.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_refusal(pipe, Code::kModelFormat);
}

TEST(MappedFile, GivesWholePagesBackAndReadsThemAgain) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::string text(5 * page, 'x');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i / page);
  const Folder folder;
  const MappedFile file(folder.write("pages", text));
  const auto same = [&] { return std::string(reinterpret_cast<const char*>(file.data()), file.bytes()) == text; };
  ASSERT_TRUE(same());
  file.release(file.data() + 1, 3 * page);  // rounds inwards to pages 1 and 2
  EXPECT_TRUE(same());
  file.release(file.data(), file.bytes());
  EXPECT_TRUE(same());
  file.release(file.data() + 10, 20);              // less than a page
  file.release(file.data() + page, file.bytes());  // past the end
  file.release(file.data() - page, page);          // before the start
  file.release(file.data() + 1, ~size_t{0});       // wraps around
  file.release(&page, sizeof page);                // somewhere else
  EXPECT_TRUE(same());
}

// ---- the machine ----

#if defined(__x86_64__)
/// What the kernel says this process has been given.
bool may_use_tiles() {
  constexpr long kGetPermissions = 0x1022;  // ARCH_GET_XCOMP_PERM
  uint64_t given = 0;
  return syscall(SYS_arch_prctl, kGetPermissions, &given) == 0 && (given >> 18 & 1);
}
#endif

TEST(CpuFeatures, AgreesWithTheKernelsList) {
  std::ifstream info("/proc/cpuinfo");
  const std::string text(std::istreambuf_iterator<char>(info), {});
#if defined(__x86_64__)
  const auto listed = [&](const std::string& flag) {
    return text.find(" " + flag + " ") != std::string::npos || text.find(" " + flag + "\n") != std::string::npos;
  };
  const CpuFeatures& found = cpu_features();
  EXPECT_EQ(found.avx2, listed("avx2"));
  EXPECT_EQ(found.fma, listed("fma"));
  EXPECT_EQ(found.f16c, listed("f16c"));
  EXPECT_EQ(found.avx512f, listed("avx512f"));
  EXPECT_EQ(found.avx512bw, listed("avx512bw"));
  EXPECT_EQ(found.avx512vl, listed("avx512vl"));
  EXPECT_EQ(found.avx512dq, listed("avx512dq"));
  EXPECT_EQ(found.avx512vnni, listed("avx512_vnni"));
  EXPECT_EQ(found.avx512bf16, listed("avx512_bf16"));
  EXPECT_EQ(found.amx == Amx::kGranted, listed("amx_int8") && may_use_tiles());
  EXPECT_FALSE(found.dotprod || found.i8mm);
#else
  EXPECT_FALSE(cpu_features().avx2 || cpu_features().avx512f);
  if (text.find(" asimddp") != std::string::npos) {
    EXPECT_TRUE(cpu_features().dotprod);
  }
  if (text.find(" i8mm") != std::string::npos) {
    EXPECT_TRUE(cpu_features().i8mm);
  }
#endif
}

TEST(PhysicalCores, CountsHardwareThreadsOfOneCoreOnce) {
  EXPECT_GE(physical_cores(), 1);
  EXPECT_LE(physical_cores(), static_cast<int>(std::thread::hardware_concurrency()));
  const Folder folder;
  const int processors = physical_cores(folder.path());  // nothing known: every allowed processor is a core
  EXPECT_EQ(processors, static_cast<int>(std::thread::hardware_concurrency()));
  for (int cpu = 0; cpu < 1024; ++cpu) {
    folder.write("sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list", "0-1023\n");
  }
  EXPECT_EQ(physical_cores(folder.path()), 1);
}

TEST(CpuModel, FindsANameOnBothArchitectures) {
  const Folder intel, jetson, server;
  intel.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: Other\n");
  EXPECT_EQ(cpu_model(intel.path()), "Some CPU @ 2 GHz");
  jetson.write("proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd42\n");
  jetson.write("proc/device-tree/model", std::string("NVIDIA Jetson Orin Nano\0", 24));
  EXPECT_EQ(cpu_model(jetson.path()), "NVIDIA Jetson Orin Nano");
  server.write("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n");
  EXPECT_EQ(cpu_model(server.path()), "Neoverse-N1");
  EXPECT_EQ(cpu_model(server.path() + "/absent"), "unknown");
}

constexpr char kMemInfo[] = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n";
constexpr int64_t kKb = 1024;

TEST(Memory, IsTheMachinesWithoutAGroup) {
  const Folder folder;
  folder.write("proc/meminfo", kMemInfo);
  EXPECT_EQ(total_memory_bytes(folder.path()), 16000 * kKb);
  EXPECT_EQ(available_memory_bytes(folder.path()), 9000 * kKb);
  EXPECT_GT(total_memory_bytes(), available_memory_bytes());
  EXPECT_GT(available_memory_bytes(), 0);
}

TEST(Memory, HonoursTheSmallestLimitOfVersion2) {
  const Folder folder;
  folder.write("proc/meminfo", kMemInfo);
  folder.write("proc/self/cgroup", "0::/system.slice/camera.service\n");
  folder.write("sys/fs/cgroup/system.slice/camera.service/memory.max", "max\n");
  folder.write("sys/fs/cgroup/system.slice/memory.max", std::to_string(4000 * kKb) + "\n");
  folder.write("sys/fs/cgroup/system.slice/memory.current", std::to_string(3000 * kKb) + "\n");
  folder.write("sys/fs/cgroup/system.slice/memory.stat", "anon 5\nactive_file 7\ninactive_file " + std::to_string(500 * kKb) + "\n");
  EXPECT_EQ(total_memory_bytes(folder.path()), 4000 * kKb);
  EXPECT_EQ(available_memory_bytes(folder.path()), 1500 * kKb);
}

TEST(Memory, HonoursVersion1InsideAContainer) {
  const Folder folder;
  folder.write("proc/meminfo", kMemInfo);
  folder.write("proc/self/cgroup", "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n0::/\n");  // the path is the host's
  folder.write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(2000 * kKb) + "\n");
  folder.write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(2500 * kKb) + "\n");
  EXPECT_EQ(total_memory_bytes(folder.path()), 2000 * kKb);
  EXPECT_EQ(available_memory_bytes(folder.path()), 0);
}

TEST(Memory, IgnoresALimitAboveTheMachine) {
  const Folder folder;
  folder.write("proc/meminfo", kMemInfo);
  folder.write("proc/self/cgroup", "5:memory:/\n");
  folder.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(total_memory_bytes(folder.path()), 16000 * kKb);
  EXPECT_EQ(available_memory_bytes(folder.path()), 9000 * kKb);
}

}  // namespace
}  // namespace mipha
