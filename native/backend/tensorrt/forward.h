// The forward pass on the device: buffers between the engines, and one run of each engine after the other.
#pragma once

#include <vector>

#include "backend/model_backend.h"
#include "backend/tensorrt/cache.h"
#include "backend/tensorrt/engines.h"
#include "backend/tensorrt/rows.h"
#include "model/stages.h"

namespace mipha::tensorrt {

class Forward {
 public:
  /// Takes all memory. Throws kMemory when the device does not have as much.
  Forward(const Device& device, const Engines& engines, const Package& package, int cache_rows);

  void set_probe(Probe probe) { probe_ = std::move(probe); }

  /// pixels uint8 [size, size, 3] → features, kept on the host. False when cancelled.
  bool encode(const uint8_t* pixels, const Cancelled& cancelled);

  /// Runs `count` rows, at most engines.max_rows() and kMostAnswers of them last, and places them. Logits [last rows, vocab] unless null.
  /// False when cancelled, and then no row is placed.
  bool run(const NewRow* rows, int count, RowTables& sequences, float* logits, const Cancelled& cancelled);

  Memory memory() const;

 private:
  void fill(const NewRow* rows, int count, const RowTables& sequences, int past);
  void show(const char* name, int layer, const void* device, int rows) const;

  const Device& device_;
  const Engines& engines_;
  const Config& config_;
  const Stages stages_;  // for the embedding
  const Angles angles_;  // of every position of the context
  const int max_rows_, cache_rows_;
  Probe probe_;

  // On the host, until wait(): what is copied in is read only then.
  std::vector<float> features_;       // [image tokens, hidden]
  std::vector<float> planes_;         // [3, size, size]
  std::vector<float> embedded_;       // [max_rows, hidden]
  std::vector<float> cosine_, sine_;  // [max_rows, rotary_dims / 2]
  std::vector<float> mask_;           // [max_rows, cache_rows + max_rows]
  std::vector<int32_t> answered_;     // [kMostAnswers]

  const Cache cache_;
  const DeviceBuffer scratch_, pixels_, features_out_;
  const DeviceBuffer hidden_[2];  // [max_rows, hidden], in turns input and output of an engine
  const DeviceBuffer cosine_in_, sine_in_, mask_in_, answered_in_, logits_out_;
};

}  // namespace mipha::tensorrt
