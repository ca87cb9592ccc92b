// The model's weights on the device.
#pragma once

#include <functional>
#include <vector>

#include "backend/cuda/interface.h"
#include "backend/cuda/kernels/kernels.h"
#include "backend/cuda/runtime/memory.h"
#include "backend/cuda/runtime/pack.h"
#include "backend/cuda/runtime/upload.h"

namespace mipha::cuda {

using DeviceBlock = BlockOf<Matrix>;  // norms are memory of the device

class DeviceWeights : public ModelOf<Matrix> {
 public:
  /// Lays out the memory; load() fills it. What the request points at outlives load().
  DeviceWeights(DeviceArena& arena, const OpenRequest& request);

  /// Throws kDisposed when the request's progress says so.
  void load(Uploader& uploader);

  const float *position_embedding = nullptr, *prefix = nullptr, *pooling = nullptr, *pooling_bias = nullptr;
  Norm pre_norm, final_norm;
  Embedding embedding;
  const float *cosine = nullptr, *sine = nullptr;  // [context, rotary_dims / 2]

 private:
  void place(const Linear& from, const RowOrder& order, Matrix& to);
  void place(const BlockConfig& config, const BlockOf<Linear>& from, DeviceBlock& to);
  Norm place(const BlockConfig& config, const Norm& from);
  const float* place(const float* from, size_t count);

  DeviceArena& arena_;
  const OpenRequest& request_;
  std::vector<std::function<void(Uploader&)>> parts_;  // what load() does, in order
};

}  // namespace mipha::cuda
