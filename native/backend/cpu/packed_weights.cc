#include "backend/cpu/packed_weights.h"

#include <algorithm>
#include <exception>
#include <mutex>

#include "backend/cpu/pack.h"
#include "core/half.h"

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

float value(const Linear& from, int row, size_t index) {
  switch (from.dtype) {
    case DType::kI8:
      return static_cast<const int8_t*>(from.weight)[index] * from.scale[row];
    case DType::kF16:
      return from_half(static_cast<const uint16_t*>(from.weight)[index]);
    case DType::kF32:
      break;
  }
  return static_cast<const float*>(from.weight)[index];
}

/// Any type [out, in] → f32 [in][padded_out], rows of one panel.
void transpose_panel(const Linear& from, int panel, int padded_out, float* transposed) {
  for (int row = panel * kPanel; row < std::min(from.out, (panel + 1) * kPanel); ++row) {
    const size_t start = static_cast<size_t>(row) * from.in;
    for (int i = 0; i < from.in; ++i) transposed[static_cast<size_t>(i) * padded_out + row] = value(from, row, start + i);
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
  const Weights& w = package_->weights();
  vision_.resize(w.vision.size());
  projector_.resize(w.projector.size());
  language_.resize(w.language.size());

  groups_.push_back({{&w.patch_embedding, &patch_embedding_}});
  for (size_t i = 0; i < w.vision.size(); ++i) {
    const VisionLayer& from = w.vision[i];
    PackedVisionLayer& to = vision_[i];
    to.norm1 = from.norm1;
    to.norm2 = from.norm2;
    groups_.push_back({{&from.qkv, &to.qkv}, {&from.out, &to.out}, {&from.fc1, &to.fc1}, {&from.fc2, &to.fc2}});
  }
  groups_.emplace_back();
  for (size_t i = 0; i < w.projector.size(); ++i) groups_.back().push_back({&w.projector[i], &projector_[i]});
  for (size_t i = 0; i < w.language.size(); ++i) {
    const LanguageLayer& from = w.language[i];
    PackedLanguageLayer& to = language_[i];
    to.norm = from.norm;
    groups_.push_back({{&from.qkv, &to.qkv}, {&from.dense, &to.dense}, {&from.fc1, &to.fc1}, {&from.fc2, &to.fc2}});
  }
  groups_.push_back({{&w.head, &head_}});

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
  return patch_embedding_;
}

const PackedVisionLayer& PackedWeights::vision(const Team& team, int layer) {
  use(team, 1 + layer);
  return vision_[layer];
}

const std::vector<PackedLinear>& PackedWeights::projector(const Team& team) {
  use(team, 1 + static_cast<int>(vision_.size()));
  return projector_;
}

const PackedLanguageLayer& PackedWeights::language(const Team& team, int layer) {
  use(team, 2 + static_cast<int>(vision_.size()) + layer);
  return language_[layer];
}

const PackedLinear& PackedWeights::head(const Team& team) {
  use(team, static_cast<int>(groups_.size()) - 1);
  return head_;
}

}  // namespace mipha::cpu
