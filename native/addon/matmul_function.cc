#include "addon/matmul_function.h"

#include <algorithm>
#include <string>
#include <vector>

#include "addon/arrays_worker.h"
#include "addon/convert.h"
#include "addon/errors.h"
#include "backend/cpu/pack.h"

namespace mipha {
namespace {

constexpr int kMost = 1 << 16;  // rows and columns

/// x [rows, in], weight [out, in] → [rows, out]
std::vector<int32_t> multiply(const cpu::Kernels& kernels, const int8_t* x, const int8_t* weight, int rows, const cpu::Packed& shape) {
  std::vector<int8_t> panels(shape.bytes()), row(shape.padded_in());
  std::vector<int32_t> sums(shape.padded_out()), y(static_cast<size_t>(rows) * shape.out), acc(cpu::kPanel);
  cpu::pack_panels(weight, shape, 0, shape.panels(), panels.data(), sums.data());
  for (int r = 0; r < rows; ++r) {
    for (int k = 0; k < shape.in; ++k) row[k] = static_cast<int8_t>(x[static_cast<size_t>(r) * shape.in + k] + kernels.activation_offset);
    for (int panel = 0; panel < shape.panels(); ++panel) {
      const int first = panel * cpu::kPanel;
      kernels.gemm_s8(row.data(), row.size(), 1, shape.padded_in(), panels.data() + panel * shape.panel_bytes(), 1, sums.data() + first, acc.data());
      std::copy_n(acc.begin(), std::min(cpu::kPanel, shape.out - first), y.begin() + static_cast<size_t>(r) * shape.out + first);
    }
  }
  return y;
}

Napi::Value multiply_integer(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int rows = static_cast<int>(integer_from_js(info[2], "rows", 1, kMost)), in = static_cast<int>(integer_from_js(info[3], "in", 1, kMost));
    const int out = static_cast<int>(integer_from_js(info[4], "out", 1, kMost));
    const auto* x = reinterpret_cast<const int8_t*>(array_from_js(info[0], "x", napi_int8_array, int64_t{rows} * in));
    const auto* weight = reinterpret_cast<const int8_t*>(array_from_js(info[1], "weight", napi_int8_array, int64_t{out} * in));
    if (std::find(x, x + int64_t{rows} * in, -128) != x + int64_t{rows} * in) throw Error(Code::kOption, "x: expected values from -127 to 127");
    const std::string isa = string_from_js(info[5], "isa");
    const cpu::Kernels* const kernels = cpu::find_kernels(isa.c_str());
    if (kernels == nullptr) throw Error(Code::kBackend, "isa: this machine cannot run '" + isa + "'");
    const std::vector<int32_t> y = multiply(*kernels, x, weight, rows, {out, in});
    Napi::Int32Array result = Napi::Int32Array::New(info.Env(), y.size());
    std::copy(y.begin(), y.end(), result.Data());
    return result;
  });
}

}  // namespace

void export_matmul(Napi::Env env, Napi::Object exports) {
  exports.Set("matmulInt8", Napi::Function::New(env, multiply_integer, "matmulInt8"));
}

}  // namespace mipha
