#include "addon/conversion_functions.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>

#include "addon/arrays_worker.h"
#include "addon/convert.h"
#include "addon/errors.h"
#include "core/cpu_features.h"
#include "core/thread_pool.h"
#include "package/low_rank.h"
#include "package/quantize.h"

namespace mipha {
namespace {

constexpr int64_t kValuesPerThread = 1 << 18;  // below this a thread costs more than it saves

/// Calls work(first row, end) on as many threads as `cost`, in values, is worth.
void divide(int64_t rows, int64_t cost, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t parts = std::max<int64_t>(1, std::min<int64_t>({cost / kValuesPerThread, rows, physical_cores()}));
  ThreadPool(static_cast<int>(parts)).each(static_cast<int>(parts), [&](int part, int) { work(rows * part / parts, rows * (part + 1) / parts); });
}

struct Matrix {
  const uint8_t* source = nullptr;  // [rows, columns] of `type`
  SourceType type = SourceType::kF32;
  int64_t rows = 0, columns = 0;
  int8_t* weight = nullptr;  // [rows, columns]
  float* scale = nullptr;    // [rows]
  bool half_scales = false;

  int64_t value_bytes() const { return type == SourceType::kF32 ? 4 : 2; }

  void quantize(int64_t begin, int64_t end) const {
    quantize_rows(source + begin * columns * value_bytes(), type, end - begin, columns, weight + begin * columns, scale + begin, 0, half_scales);
  }

  void quantize_all() const {
    std::atomic<bool> failed{false};
    divide(rows, rows * columns, [&](int64_t begin, int64_t end) {
      try {
        quantize(begin, end);
      } catch (...) {
        failed = true;
      }
    });
    if (failed) quantize(0, rows);  // once more in one piece, for an error that names the row as the caller counts it
  }
};

SourceType source_type_from_js(const Napi::Value& value) {
  const std::string name = string_from_js(value, "dtype");
  if (name == "BF16") return SourceType::kBF16;
  if (name == "F16") return SourceType::kF16;
  if (name == "F32") return SourceType::kF32;
  throw Error(Code::kOption, "dtype: expected BF16, F16 or F32, received " + name);
}

Napi::Value quantize(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    Matrix matrix;
    matrix.type = source_type_from_js(info[1]);
    matrix.rows = integer_from_js(info[2], "rows", 0, int64_t{1} << 31);
    matrix.columns = integer_from_js(info[3], "columns", 0, int64_t{1} << 31);
    const int64_t count = matrix.rows * matrix.columns;
    matrix.source = array_from_js(info[0], "source", napi_uint8_array, count * matrix.value_bytes());
    matrix.weight = reinterpret_cast<int8_t*>(array_from_js(info[4], "weight", napi_int8_array, count));
    matrix.scale = reinterpret_cast<float*>(array_from_js(info[5], "scale", napi_float32_array, matrix.rows));
    matrix.half_scales = info[6].ToBoolean();
    return ArraysWorker::start(info, "quantize", [matrix] { matrix.quantize_all(); });
  });
}

float* floats_from_js(const Napi::Value& value, const char* name, int64_t count) {
  return reinterpret_cast<float*>(array_from_js(value, name, napi_float32_array, count));
}

Napi::Value add_product_to(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    constexpr int64_t kMost = int64_t{1} << 31;
    const int64_t rows = integer_from_js(info[3], "rows", 0, kMost), rank = integer_from_js(info[4], "rank", 0, kMost);
    const int64_t columns = integer_from_js(info[5], "columns", 0, kMost);
    float* out = floats_from_js(info[0], "out", rows * columns);
    const float *b = floats_from_js(info[1], "b", rows * rank), *a = floats_from_js(info[2], "a", rank * columns);
    const float scale = static_cast<float>(number_from_js(info[6], "scale"));
    return ArraysWorker::start(info, "addProduct", [=] {
      divide(rows, rows * columns * rank / 16,
             [&](int64_t begin, int64_t end) { add_product(out + begin * columns, b + begin * rank, a, end - begin, rank, columns, scale); });
    });
  });
}

}  // namespace

void export_conversion(Napi::Env env, Napi::Object exports) {
  exports.Set("quantize", Napi::Function::New(env, quantize, "quantize"));
  exports.Set("addProduct", Napi::Function::New(env, add_product_to, "addProduct"));
}

}  // namespace mipha
