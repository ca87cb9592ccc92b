/// embed: rows of the embedding, or of a picture's features.
#include "backend/cuda/kernels/device.cuh"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/kernels/start.cuh"

namespace mipha::cuda {
namespace {

constexpr int kEmbedThreads = 256;

/// One block for each row.
__global__ void __launch_bounds__(kEmbedThreads) embed_rows(const int32_t* live, Embedding in, const int32_t* ids, const float* features, float* x) {
  if (!is_live(live)) return;
  const int id = ids[blockIdx.x];
  float* const to = x + static_cast<int64_t>(blockIdx.x) * in.width;
  const int64_t from = static_cast<int64_t>(id < 0 ? -1 - id : id) * in.width;
  const float scale = id >= 0 && in.dtype == DType::kI8 ? in.scale[id] : 1;
  for (int i = threadIdx.x; i < in.width; i += kEmbedThreads) {
    if (id < 0) {
      to[i] = features[from + i];
    } else if (in.dtype == DType::kI8) {
      to[i] = static_cast<float>(static_cast<const int8_t*>(in.rows)[from + i]) * scale;
    } else if (in.dtype == DType::kF16) {
      to[i] = __half2float(static_cast<const __half*>(in.rows)[from + i]);
    } else {
      to[i] = static_cast<const float*>(in.rows)[from + i];
    }
  }
}

}  // namespace

cudaError_t embed(const Launch& launch, const Embedding& in, const int32_t* ids, const float* features, int rows, float* x) {
  return start(embed_rows, static_cast<unsigned>(rows), kEmbedThreads, 0, launch.stream, launch.live, in, ids, features, x);
}

}  // namespace mipha::cuda
