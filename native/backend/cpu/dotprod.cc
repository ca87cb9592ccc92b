// AArch64 with the dot product extension (ARMv8.2 DotProd).
// The wrapper comes before what is written over it.
// clang-format off
#include "backend/cpu/simd_neon.h"
#include "backend/cpu/float_kernels-inl.h"
#include "backend/cpu/dotprod-inl.h"
// clang-format on
#include "backend/cpu/tables.h"

namespace mipha::cpu {
namespace {

void gemm_s8(const int8_t* a, size_t a_stride, int rows, int in, const int8_t* panels, int panel_count, const int32_t*, int32_t* acc) {
  sdot_gemm(a, a_stride, rows, in, panels, panel_count, acc);
}

}  // namespace

const Kernels kDotprodKernels = {"dotprod",      0,           gemm_s8,    dequantize,   quantize<0>,   layer_norm, rms_norm, gelu_tanh, gelu_erf,
                                 swish,          add,         multiply,   gemm_f32,     softmax_block, scale,      rotate,   to_half,   from_half,
                                 transpose_half, dot<half_t>, dot<float>, weighted_half};

}  // namespace mipha::cpu
