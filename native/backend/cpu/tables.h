// The rows of the kernel table, each defined by the file of its instruction set.
#pragma once

#include "backend/cpu/kernels.h"

namespace mipha::cpu {

extern const Kernels kScalarKernels;
extern const Kernels kAvx2Kernels;        // x86-64 only
extern const Kernels kAvx512VnniKernels;  // x86-64 only
extern const Kernels kAmxKernels;         // x86-64 only
extern const Kernels kDotprodKernels;     // AArch64 only
extern const Kernels kI8mmKernels;        // AArch64 only

extern const Bf16Kernels kScalarBf16Kernels;  // the readable twin, for tests: scalar's own attention is in f32
extern const Bf16Kernels kAvx512Bf16Kernels;  // x86-64 only

}  // namespace mipha::cpu
