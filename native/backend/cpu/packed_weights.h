// The model's matrices in the kernels' order. Resident: all packed at load. Streamed: one group (a layer, the projector, the head) at a time in
// one slot, packed again whenever it is used, so that a model larger than memory can still run, slowly.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/matmul.h"

namespace mipha::cpu {

using PackedBlock = BlockOf<PackedLinear>;

class PackedWeights {
 public:
  /// Lays out the memory; load() fills it.
  PackedWeights(Arena& arena, std::shared_ptr<const Package> package, bool streamed);

  /// Packs everything (nothing when streamed) and gives the mapped pages back. Throws kModelFormat for a weight of −128.
  void load(const Team& team, const Progress& progress);

  // Valid until the next of these calls when streamed, for ever otherwise.
  const PackedLinear& patch_embedding(const Team& team);
  const PackedBlock& tower(const Team& team, int layer);
  const std::vector<PackedLinear>& projector(const Team& team);
  const PackedBlock& decoder(const Team& team, int layer);
  const PackedLinear& head(const Team& team);

 private:
  struct Part {
    const Linear* from;
    PackedLinear* to;
  };
  using Group = std::vector<Part>;

  void place(const Group& group, uint8_t* base) const;
  void pack(const Team& team, const Group& group) const;
  void use(const Team& team, int group);

  std::shared_ptr<const Package> package_;
  bool streamed_;
  ModelOf<PackedLinear> model_;
  std::vector<Group> groups_;  // as each_matrix counts them
  uint8_t* slot_ = nullptr;    // streamed: the one group in memory
  int in_slot_ = -1;
};

}  // namespace mipha::cpu
