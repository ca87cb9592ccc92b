#include "backend/cpu/packed_weights.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#include "backend/cpu/pack.h"

namespace mipha::cpu {
namespace {

size_t aligned(size_t bytes) {
  return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
}

bool is_s8(const Linear& linear) {
  return linear.dtype == DType::kI8 && !linear.weight_only;
}

size_t element_bytes(DType dtype) {
  return dtype == DType::kI8 ? 1 : dtype == DType::kF16 ? 2 : 4;
}

struct Sizes {
  size_t matrix, sums;  // bytes
};

Sizes packed_sizes(const PackedLinear& linear, bool s8) {
  if (!s8) return {aligned(sizeof(float) * linear.in * linear.padded_out()), 0};
  return {aligned(linear.bytes()), aligned(sizeof(int32_t) * linear.padded_out())};
}

/// Any type [out, in] → f32 [in][padded_out], rows of one panel.
void transpose_panel(const Linear& from, int panel, int padded_out, float* transposed) {
  std::vector<float> values(from.in);
  for (int row = panel * kPanel; row < std::min(from.out, (panel + 1) * kPanel); ++row) {
    read_row(from, row, values.data());
    for (int i = 0; i < from.in; ++i) transposed[static_cast<size_t>(i) * padded_out + row] = values[i];
  }
}

PackedLinear shape_of(const Linear& linear) {
  PackedLinear packed;
  packed.scale = linear.scale;
  packed.bias = linear.bias;
  packed.smooth = linear.smooth;
  packed.out = linear.out;
  packed.in = linear.in;
  return packed;
}

}  // namespace

PackedWeights::PackedWeights(Arena& arena, std::shared_ptr<const Package> package, bool streamed)
    : package_(std::move(package)), streamed_(streamed) {
  const Weights& stored = package_->weights();
  const auto with_norms = [](const std::vector<BlockOf<Linear>>& blocks) {
    std::vector<PackedBlock> packed(blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
      packed[i].norm1 = blocks[i].norm1;
      packed[i].norm2 = blocks[i].norm2;
    }
    return packed;
  };
  model_.tower = with_norms(stored.tower);
  model_.projector.resize(stored.projector.size());
  model_.decoder = with_norms(stored.decoder);

  each_matrix(stored, [&](int group, const std::string&, const Linear& from) {
    groups_.resize(group + 1);
    groups_[group].push_back({&from, nullptr});
  });
  std::vector<size_t> filled(groups_.size());
  each_matrix(model_, [&](int group, const std::string&, PackedLinear& to) { groups_[group][filled[group]++].to = &to; });

  std::vector<size_t> bytes;
  for (const Group& group : groups_) {
    size_t total = 0;
    for (const Part& part : group) {
      *part.to = shape_of(*part.from);
      const Sizes sizes = packed_sizes(*part.to, is_s8(*part.from));
      total += sizes.matrix + sizes.sums;
    }
    bytes.push_back(total);
  }
  if (streamed_) slot_ = arena.take<uint8_t>(*std::max_element(bytes.begin(), bytes.end()));
  for (size_t i = 0; i < groups_.size(); ++i) {
    uint8_t* base = streamed_ ? slot_ : arena.take<uint8_t>(bytes[i]);
    if (base != nullptr) place(groups_[i], base);
  }
}

void PackedWeights::place(const Group& group, uint8_t* base) const {
  for (const Part& part : group) {
    const Sizes sizes = packed_sizes(*part.to, is_s8(*part.from));
    if (is_s8(*part.from)) {
      part.to->tiles = reinterpret_cast<int8_t*>(base);
      part.to->sums = reinterpret_cast<int32_t*>(base + sizes.matrix);
    } else {
      part.to->transposed = reinterpret_cast<float*>(base);
    }
    base += sizes.matrix + sizes.sums;
  }
}

void PackedWeights::pack(const Team& team, const Group& group) const {
  std::exception_ptr failure;
  std::mutex mutex;
  for (const Part& part : group) {
    const Linear& from = *part.from;
    PackedLinear& to = *part.to;
    team.pool.each(to.padded_out() / kPanel, [&](int panel, int) {
      try {
        if (to.tiles == nullptr) {
          transpose_panel(from, panel, to.padded_out(), const_cast<float*>(to.transposed));
          return;
        }
        pack_panels(static_cast<const int8_t*>(from.weight), to, panel, 1, const_cast<int8_t*>(to.tiles), const_cast<int32_t*>(to.sums));
      } catch (...) {
        std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    });
    if (failure) std::rethrow_exception(failure);
    package_->release(from.weight, static_cast<size_t>(from.out) * from.in * element_bytes(from.dtype));
  }
}

void PackedWeights::load(const Team& team, const Progress& progress) {
  if (streamed_) return;
  for (size_t i = 0; i < groups_.size(); ++i) {
    pack(team, groups_[i]);
    if (progress) progress("weights", static_cast<double>(i + 1) / static_cast<double>(groups_.size()));
  }
}

void PackedWeights::use(const Team& team, int group) {
  if (!streamed_ || in_slot_ == group) return;
  in_slot_ = -1;  // a failure half way leaves nothing that looks packed
  pack(team, groups_[group]);
  in_slot_ = group;
}

const PackedLinear& PackedWeights::patch_embedding(const Team& team) {
  use(team, 0);
  return model_.patch_embedding;
}

const PackedBlock& PackedWeights::tower(const Team& team, int layer) {
  use(team, 1 + layer);
  return model_.tower[layer];
}

const std::vector<PackedLinear>& PackedWeights::projector(const Team& team) {
  use(team, 1 + static_cast<int>(model_.tower.size()));
  return model_.projector;
}

const PackedBlock& PackedWeights::decoder(const Team& team, int layer) {
  use(team, 2 + static_cast<int>(model_.tower.size()) + layer);
  return model_.decoder[layer];
}

const PackedLinear& PackedWeights::head(const Team& team) {
  use(team, static_cast<int>(groups_.size()) - 1);
  return model_.head;
}

}  // namespace mipha::cpu
