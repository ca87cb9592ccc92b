#include "bench/gpu/random_package.h"

#include <algorithm>

namespace mipha::cuda::bench {
namespace {

constexpr float kScale = 1e-4f;  // times 73, the spread of the weights, and the root of a width: rows of about 0.3

/// Bits that nobody looks for a pattern in (Knuth's multiplier).
class Bits {
 public:
  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }

 private:
  uint64_t state_ = 1;
};

size_t largest(const BlockConfig& c) {
  const size_t hidden = c.hidden;
  return std::max({hidden * c.qkv_width(), hidden * c.attention_width(), hidden * c.up_width(), hidden * c.intermediate});
}

int widest(const BlockConfig& c) {
  return std::max({c.hidden, c.qkv_width(), c.up_width()});
}

}  // namespace

RandomPackage::RandomPackage(const Config& config) : config_(config) {
  const VisionConfig& vision = config.vision;
  const LanguageConfig& language = config.language;
  check(config);
  const size_t hidden = language.hidden;
  bytes_.resize(std::max({largest(vision), largest(language), hidden * language.vocab, hidden * vision.hidden, hidden * hidden}));
  halves_.resize(static_cast<size_t>(vision.hidden) * vision.patch_values());
  const size_t widest_rows = std::max({widest(vision), widest(language), language.vocab});
  floats_.resize(std::max(widest_rows, static_cast<size_t>(vision.patches()) * vision.hidden));
  scales_.assign(widest_rows, kScale);
  ones_.assign(std::max(vision.hidden, language.hidden), 1);
  Bits bits;
  for (int8_t& byte : bytes_) byte = static_cast<int8_t>(static_cast<int>(bits.next() % 255) - 127);
  for (uint16_t& half : halves_) half = static_cast<uint16_t>(0x2400 | (bits.next() & 0x83ff));  // ±2^-6 .. ±2^-5
  for (float& value : floats_) value = (static_cast<float>(bits.next() % 2001) - 1000) * 1e-4f;

  weights_.patch_embedding = {DType::kF16, halves_.data(), nullptr, floats_.data(), vision.hidden, vision.patch_values()};
  weights_.position_embedding = floats_.data();
  weights_.tower.assign(vision.layers, block(vision));
  for (int i = 0; i < config.projector.layers; ++i) weights_.projector.push_back(matrix(language.hidden, i == 0 ? vision.hidden : language.hidden));
  weights_.embedding = matrix(language.vocab, language.hidden);
  weights_.decoder.assign(language.layers, block(language));
  weights_.final_norm = norm(language);
  weights_.head = matrix(language.vocab, language.hidden);
}

Linear RandomPackage::matrix(int out, int in) const {
  return {DType::kI8, bytes_.data(), scales_.data(), floats_.data(), out, in};
}

Norm RandomPackage::norm(const BlockConfig& config) const {
  return {ones_.data(), config.norm == NormKind::kLayer ? floats_.data() : nullptr};
}

BlockOf<Linear> RandomPackage::block(const BlockConfig& config) const {
  return {norm(config),
          matrix(config.qkv_width(), config.hidden),
          matrix(config.hidden, config.attention_width()),
          config.has_norm2() ? norm(config) : Norm{},
          matrix(config.up_width(), config.hidden),
          matrix(config.hidden, config.intermediate)};
}

}  // namespace mipha::cuda::bench
