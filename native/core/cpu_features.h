// What this machine is: instruction sets, cores, memory. Compiled for the baseline, so that asking is safe on every CPU.
#pragma once

#include <cstdint>
#include <string>

namespace mipha {

/// Of AMX-INT8, whose tile registers a process has to ask the kernel for.
enum class Amx {
  kAbsent,   // the CPU has none, or does not say so to this virtual machine
  kRefused,  // the CPU has it, and the kernel does not let this process use it
  kGranted,
};

/// True only when the CPU has the instructions and the operating system saves the registers they use.
struct CpuFeatures {
  bool avx2 = false;
  bool fma = false;
  bool f16c = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512vnni = false;
  bool avx512bf16 = false;
  Amx amx = Amx::kAbsent;
  bool dotprod = false;  // arm64: SDOT and UDOT
  bool i8mm = false;     // arm64: SMMLA
};

/// Asked once, then remembered.
const CpuFeatures& cpu_features();

/// Of EDX of CPUID's leaf 7 and of XCR0. `ask` gets the permission for the process; it is called only where everything else is there, because it has
/// an effect: signal stacks then must have room for tiles.
Amx amx_state(uint32_t leaf7_edx, uint64_t xcr0, bool (*ask)());

// `root` stands before every path that is read (/proc, /sys): empty on a real machine, a made-up tree in tests.

/// Cores this process may run on (sched_getaffinity), hardware threads of one core counted once. At least 1.
int physical_cores(const std::string& root = "");

/// For people: "AMD EPYC 7B13", "NVIDIA Jetson Orin Nano", "Cortex-A78AE", "unknown".
std::string cpu_model(const std::string& root = "");

/// A control group (v1 or v2) with less memory than the machine counts as the machine.
int64_t total_memory_bytes(const std::string& root = "");
/// What could be taken without swapping; page cache that the kernel would give back counts as available.
int64_t available_memory_bytes(const std::string& root = "");

}  // namespace mipha
