#include "core/cpu_features.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace mipha {
namespace {

// ---- instruction sets ----

#if defined(__x86_64__)

uint64_t enabled_register_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

/// Whether the kernel lets this process use tiles: Linux 5.16 and later, where no thread has a signal stack too small for them. The permission is the
/// process's: threads that run already have it too, forked processes inherit it, and a program that is executed asks anew.
bool ask_for_tiles() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM and XFEATURE_XTILEDATA, which older headers do not name
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

// Intel SDM volume 2, CPUID, and volume 1, §13.3 (XCR0).
CpuFeatures detect() {
  CpuFeatures found;
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool os_uses_xsave = c & bit_OSXSAVE;
  if (!os_uses_xsave) return found;
  const uint64_t state = enabled_register_state();
  const bool ymm = (state & 0x06) == 0x06;  // XMM, upper halves of YMM
  const bool zmm = (state & 0xe6) == 0xe6;  // and mask registers, upper halves of ZMM, ZMM16 to ZMM31
  found.fma = ymm && (c & bit_FMA);
  found.f16c = ymm && (c & bit_F16C);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = ymm && (b & bit_AVX2);
  found.avx512f = zmm && (b & bit_AVX512F);
  found.avx512bw = zmm && (b & bit_AVX512BW);
  found.avx512vl = zmm && (b & bit_AVX512VL);
  found.avx512dq = zmm && (b & bit_AVX512DQ);
  found.avx512vnni = zmm && (c & bit_AVX512VNNI);
  found.amx = amx_state(d, state, ask_for_tiles);
  if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) found.avx512bf16 = zmm && (a & bit_AVX512BF16);
  return found;
}

#elif defined(__aarch64__)

CpuFeatures detect() {
  constexpr unsigned long kHwcapAsimdDp = 1ul << 20, kHwcap2I8mm = 1ul << 13;  // Linux arm64 ELF hwcaps
  CpuFeatures found;
  found.dotprod = getauxval(AT_HWCAP) & kHwcapAsimdDp;
  found.i8mm = getauxval(AT_HWCAP2) & kHwcap2I8mm;
  return found;
}

#else

CpuFeatures detect() {
  return {};
}

#endif

// ---- text files of /proc and /sys ----

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string trimmed(const std::string& text) {
  const char* const spaces = " \t\r\n";
  const size_t first = text.find_first_not_of(std::string(spaces) + '\0');
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(std::string(spaces) + '\0') - first + 1);
}

std::optional<int64_t> parse_integer(const std::string& text) {
  const std::string digits = trimmed(text);
  int64_t value;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end == digits.data()) return {};
  return value;
}

/// The rest of the first line that starts with `key`, e.g. "MemTotal:" or "inactive_file ".
std::optional<std::string> field(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, key.size(), key) == 0) return trimmed(line.substr(key.size()));
  }
  return {};
}

// ---- memory ----

struct CgroupFiles {
  const char* mount;
  const char* limit;
  const char* usage;
  const char* reclaimable;  // in memory.stat: file pages that the kernel drops before it refuses memory
};
constexpr CgroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
constexpr CgroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

/// Folders of the groups this process is in. Inside a container the path may be the host's and absent; the mount itself is then the container's
/// group.
std::vector<std::pair<CgroupFiles, std::string>> memory_groups(const std::string& root) {
  std::vector<std::pair<CgroupFiles, std::string>> groups;
  std::istringstream lines(read_text(root + "/proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {  // "hierarchy:controllers:path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool unified = controllers == ",,";
    if (!unified && controllers.find(",memory,") == std::string::npos) continue;
    const CgroupFiles& files = unified ? kVersion2 : kVersion1;
    std::string path = line.substr(second + 1);
    while (!path.empty() && path.back() == '/') path.pop_back();
    while (true) {
      groups.emplace_back(files, root + files.mount + path + "/");
      if (path.empty()) break;
      const size_t slash = path.rfind('/');
      path.resize(slash == std::string::npos ? 0 : slash);
    }
  }
  return groups;
}

struct SystemMemory {
  int64_t total = 0;
  int64_t available = 0;
};

SystemMemory system_memory(const std::string& root) {
  const std::string info = read_text(root + "/proc/meminfo");
  const auto bytes = [&](const char* key) { return parse_integer(field(info, key).value_or("0")).value_or(0) * 1024; };
  SystemMemory memory{bytes("MemTotal:"), bytes("MemAvailable:")};
  for (const auto& [files, folder] : memory_groups(root)) {
    const auto limit = parse_integer(read_text(folder + files.limit));
    if (!limit) continue;  // absent, or "max"
    const int64_t usage = parse_integer(read_text(folder + files.usage)).value_or(0);
    const int64_t reclaimable = parse_integer(field(read_text(folder + "memory.stat"), files.reclaimable).value_or("0")).value_or(0);
    const int64_t used = std::max<int64_t>(0, usage - reclaimable);
    memory.total = std::min(memory.total, *limit);
    memory.available = std::min(memory.available, std::max<int64_t>(0, *limit - used));
  }
  return memory;
}

}  // namespace

Amx amx_state(uint32_t leaf7_edx, uint64_t xcr0, bool (*ask)()) {
  constexpr uint32_t kAmxTile = 1u << 24, kAmxInt8 = 1u << 25;
  constexpr uint64_t kTileState = 3ull << 17;  // the configuration and the data of tiles
  if (!(leaf7_edx & kAmxTile) || !(leaf7_edx & kAmxInt8)) return Amx::kAbsent;
  return (xcr0 & kTileState) == kTileState && ask() ? Amx::kGranted : Amx::kRefused;
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

int physical_cores(const std::string& root) {
  constexpr int kMaxCpus = 8192;
  std::array<cpu_set_t, kMaxCpus / CPU_SETSIZE> allowed{};
  if (sched_getaffinity(0, sizeof allowed, allowed.data()) != 0) return std::max(1u, std::thread::hardware_concurrency());
  std::set<std::string> cores;
  for (int cpu = 0; cpu < kMaxCpus; ++cpu) {
    if (!CPU_ISSET_S(cpu, sizeof allowed, allowed.data())) continue;
    const std::string siblings = read_text(root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? "cpu " + std::to_string(cpu) : siblings);
  }
  return std::max<int>(1, static_cast<int>(cores.size()));
}

std::string cpu_model(const std::string& root) {
  const std::string info = read_text(root + "/proc/cpuinfo");
  if (const auto name = field(info, "model name")) {
    const size_t colon = name->find(':');
    if (colon != std::string::npos && colon + 1 < name->size()) return trimmed(name->substr(colon + 1));
  }
  const std::string board = trimmed(read_text(root + "/proc/device-tree/model"));  // arm64: ends in a zero byte
  if (!board.empty()) return board;
  if (const auto part = field(info, "CPU part")) {
    // MIDR_EL1 part numbers of Arm Ltd., from the technical reference manuals of the cores.
    static constexpr std::pair<const char*, const char*> kParts[] = {
        {"0xd03", "Cortex-A53"}, {"0xd08", "Cortex-A72"},   {"0xd0b", "Cortex-A76"},  {"0xd0c", "Neoverse-N1"}, {"0xd40", "Neoverse-V1"},
        {"0xd41", "Cortex-A78"}, {"0xd42", "Cortex-A78AE"}, {"0xd49", "Neoverse-N2"}, {"0xd4f", "Neoverse-V2"}, {"0xd83", "Neoverse-V3AE"},
    };
    for (const auto& [number, name] : kParts) {
      if (part->find(number) != std::string::npos) return name;
    }
  }
  return "unknown";
}

int64_t total_memory_bytes(const std::string& root) {
  return system_memory(root).total;
}

int64_t available_memory_bytes(const std::string& root) {
  return system_memory(root).available;
}

}  // namespace mipha
