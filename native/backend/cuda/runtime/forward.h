// Many rows at once: the vision tower, and prefill.
#pragma once

#include <cuda_runtime_api.h>

#include "backend/cuda/runtime/memory.h"
#include "backend/cuda/runtime/model.h"

namespace mipha::cuda {

/// Asks whether to go on without letting the queue run dry: layers are queued far faster than they run, so each waits for the one before the last.
class Pace {
 public:
  Pace(cudaStream_t stream, Ask cancelled, void* user);
  ~Pace();
  /// Before a layer. False when cancelled.
  bool next();

 private:
  const cudaStream_t stream_;
  const Ask cancelled_;
  void* const user_;
  cudaEvent_t done_[2] = {};
  int turn_ = 0;
};

class Forward {
 public:
  /// Lays out activations for `max_rows` rows.
  Forward(DeviceArena& arena, Model& model, const Launch& launch, int max_rows);
  void load();

  /// Where encode() finds its pixels: uint8 [image_size, image_size, 3].
  uint8_t* pixels() const { return pixels_; }
  /// pixels() → features, kept inside. False when cancelled.
  bool encode(Ask cancelled, void* user);
  /// False when cancelled.
  bool append(const Batch& batch, Ask cancelled, void* user);

 private:
  /// What the rows of a block look at.
  struct Sight {
    CacheLayer cache;
    const Place* places;
    Tables tables;
    const QueryTile* tiles;
    int tile_count;
    int visible;  // attend()
  };
  void project();
  void block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows);
  void enter_block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows);
  void leave_block(const BlockConfig& config, const DeviceBlock& w, const Sight& sight, int rows);
  void last_block(const DeviceBlock& w, const Sight& sight, const Batch& batch);
  void gather(const Batch& batch, float* rows, size_t width);
  Operand normed_for(const BlockConfig& config, const Norm& norm, const Matrix& matrix, int rows);
  Operand operand(const Matrix& matrix) const;
  void upload(const Batch& batch);
  void answer(const Batch& batch);

  Model& model_;
  const Launch launch_;
  const int most_rows_;  // of tower and decoder
  const DeviceCache tower_cache_;

  uint8_t* pixels_;
  float *x_, *q_, *attended_, *inner_, *projected_, *features_;
  uint8_t* operand_;  // the widest operand of the most rows, as halves
  float* operand_scale_;

  struct Inputs {  // of an append, or of the tower: on the device
    int32_t* ids;
    Place* places;
    QueryTile* tiles;
    int32_t* blocks;
  };
  Inputs inputs_, tower_;
  int tower_tiles_ = 0;
  Pinned<int32_t> ids_, blocks_;
  Pinned<Place> places_;
  Pinned<QueryTile> tiles_;
  int tile_count_ = 0;

  float* logits_;  // [8, vocab]
};

}  // namespace mipha::cuda
