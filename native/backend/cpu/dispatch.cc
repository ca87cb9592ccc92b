// Picks rows of the kernel table. Baseline code only: it runs before anything is known about the CPU.
#include <cstdlib>
#include <cstring>

#include "backend/cpu/amx_check.h"
#include "backend/cpu/tables.h"
#include "core/cpu_features.h"

namespace mipha::cpu {
namespace {

struct Runnable {
  const Kernels* rows[5];
  int count = 0;
  const char* amx_refusal = nullptr;

  void add_if(bool supported, const Kernels& row) {
    if (supported) rows[count++] = &row;
  }
};

#if defined(__x86_64__)
Kernels with_bf16(Kernels row, const char* name, const Bf16Kernels& bf16) {
  row.name = name;
  row.bf16 = &bf16;
  return row;
}

const char* refusal_of(Amx amx) {
  if (amx == Amx::kRefused)
    return "the kernel does not give tiles to this process (needed: Linux 5.16 or later, and signal stacks with room for them)";
  if (amx == Amx::kGranted && !amx_is_right()) return "its products were wrong in a check, or tiles lost while the thread slept";
  return nullptr;
}
#endif

Runnable runnable(const CpuFeatures& cpu) {
  Runnable list;
#if defined(__x86_64__)
  const bool avx2 = cpu.avx2 && cpu.fma && cpu.f16c;
  const bool avx512 = avx2 && cpu.avx512f && cpu.avx512bw && cpu.avx512vl && cpu.avx512dq && cpu.avx512vnni;
  static const Kernels avx512bf16 = with_bf16(kAvx512VnniKernels, "avx512bf16", kAvx512Bf16Kernels);
  static const Kernels amx = with_bf16(kAmxKernels, "amx", kAvx512Bf16Kernels);
  if (avx512) list.amx_refusal = refusal_of(cpu.amx);
  list.add_if(avx512 && cpu.amx == Amx::kGranted && !list.amx_refusal, cpu.avx512bf16 ? amx : kAmxKernels);
  list.add_if(avx512 && cpu.avx512bf16, avx512bf16);
  list.add_if(avx512, kAvx512VnniKernels);
  list.add_if(avx2, kAvx2Kernels);
#elif defined(__aarch64__)
  list.add_if(cpu.dotprod && cpu.i8mm, kI8mmKernels);
  list.add_if(cpu.dotprod, kDotprodKernels);
#endif
  list.add_if(true, kScalarKernels);
  return list;
}

const Runnable& on_this_machine() {
  static const Runnable list = runnable(cpu_features());
  return list;
}

const Kernels* named(const char* name) {
  const KernelList list = kernels();
  for (int i = 0; i < list.count; ++i) {
    if (std::strcmp(list.rows[i]->name, name) == 0) return list.rows[i];
  }
  return nullptr;
}

}  // namespace

KernelList kernels() {
  const Runnable& list = on_this_machine();
  return {list.rows, list.count};
}

const char* amx_refusal() {
  return on_this_machine().amx_refusal;
}

const Kernels* find_kernels(const char* name_or_null) {
  if (name_or_null && *name_or_null) return named(name_or_null);
  const char* forced = std::getenv("MIPHA_ISA");
  const Kernels* row = forced ? named(forced) : nullptr;
  return row ? row : kernels().rows[0];
}

}  // namespace mipha::cpu
