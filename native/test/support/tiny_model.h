// A small random model in memory with the real structure: awkward sizes, real head sizes, INT8 matrices. For tests of backends and of the engine.
#pragma once

#include <cmath>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>

#include "package/package.h"
#include "test/support/blocks.h"
#include "test/support/preprocessing.h"

namespace mipha::test {

/// Mipha: SigLIP and Phi.
inline Config tiny_config() {
  Config config;
  config.vision = {siglip_block(144, 200, 2, 1e-6f), 42, 14, 2};  // 3 × 3 = 9 tokens, heads of 72, 200 is no multiple of 64
  config.projector = {2};
  config.preprocessing = siglip(config.vision.image_size);
  config.language = {phi_block(160, 328, 2, 1e-5f, 32, 10000), 3, 96, 90, 160};  // heads of 80, 328 is no multiple of 16
  return config;
}

/// Towers and decoders that between them have every switch of block.h and config.h.
inline std::map<std::string, Config> tiny_configs() {
  std::map<std::string, Config> configs = {{"siglip, phi", tiny_config()}};
  {  // a class token that the projector does not see; rows that share keys, whose heads are together wider than the residual stream
    Config& config = configs["clip, gemma"] = tiny_config();
    config.vision.activation = Activation::kQuickGelu;
    config.vision.prefix_rows = config.vision.skipped_rows = 1;
    config.vision.pre_norm = true;
    LanguageConfig& language = config.language;
    language.head_size = 136;
    language.heads = 3;
    language.kv_heads = 1;
    language.rotary_dims = 136;
    language.norm = NormKind::kRms;
    language.gated = true;
    language.residual = Residual::kSequential;
  }
  {  // a class token and registers; heads in pairs
    Config& config = configs["dinov2, llama"] = tiny_config();
    config.vision.activation = Activation::kGeluErf;
    config.vision.prefix_rows = config.vision.skipped_rows = 5;
    config.projector.layers = 3;
    LanguageConfig& language = config.language;
    language.head_size = 24;
    language.heads = 4;
    language.kv_heads = 2;
    language.rotary_dims = 24;
    language.norm = NormKind::kRms;
    language.activation = Activation::kSilu;
    language.gated = true;
    language.residual = Residual::kSequential;
  }
  {  // a feature less than patches; a gated MLP behind LayerNorm with a parallel residual of two norms
    Config& config = configs["one row skipped, neox"] = tiny_config();
    config.vision.skipped_rows = 1;
    config.vision.residual = Residual::kParallel;
    LanguageConfig& language = config.language;
    language.activation = Activation::kGeluErf;
    language.residual = Residual::kParallelTwoNorms;
    language.rotary_dims = 20;
  }
  {  // 4 × 4 patches, pooled
    Config& config = configs["pooled, gated neox"] = tiny_config();
    config.vision.image_size = 56;
    config.preprocessing = siglip(56);
    config.vision.prefix_rows = config.vision.skipped_rows = 1;
    config.projector.pooled = true;
    LanguageConfig& language = config.language;
    language.activation = Activation::kSilu;
    language.gated = true;
    language.residual = Residual::kParallelTwoNorms;
    language.rotary_dims = 0;
  }
  return configs;
}

class TinyModel final : public Package {
 public:
  /// `weight_only`: matrices of recipe w8a16. `smoothed`: down and the projector have smoothing vectors, powers of two from 1/4 to 4.
  explicit TinyModel(const Config& config = tiny_config(), unsigned seed = 1, const std::set<std::string>& weight_only = {}, bool smoothed = false)
      : config_(config), random_(seed) {
    const VisionConfig& v = config.vision;
    const LanguageConfig& l = config.language;
    matrix("vision.patch_embedding", v.hidden, v.patch_values(), DType::kF16);
    floats("vision.position_embedding", {v.patches(), v.hidden}, 0.5f);
    if (v.prefix_rows > 0) floats("vision.prefix", {v.prefix_rows, v.hidden}, 0.5f);
    if (v.pre_norm) norm("vision.pre_norm", v);
    for (int i = 0; i < v.layers; ++i) block(layer_name("vision", i), v);
    for (int i = 0; i < config.projector.layers; ++i) {
      matrix("projector." + std::to_string(i), l.hidden, i == 0 ? v.hidden : l.hidden, DType::kI8);
    }
    if (config.projector.pooled) {
      floats("projector.pooling.weight", {l.hidden, 9}, 0.3f);
      floats("projector.pooling.bias", {l.hidden}, 0.1f);
    }
    matrix("language.embedding", l.vocab, l.hidden, DType::kI8, false);
    for (int i = 0; i < l.layers; ++i) block(layer_name("language", i), l);
    norm("language.final_norm", l);
    matrix("language.head", l.vocab, l.hidden, DType::kI8);
    if (smoothed) {
      for (int i = 0; i < v.layers; ++i) smooth(layer_name("vision", i) + ".down", v.intermediate);
      for (int i = 0; i < config.projector.layers; ++i) smooth("projector." + std::to_string(i), i == 0 ? v.hidden : l.hidden);
      for (int i = 0; i < l.layers; ++i) smooth(layer_name("language", i) + ".down", l.intermediate);
    }
    const Lookup lookup = [this](const std::string& name) { return tensor(name); };
    weights_ = mipha::bind(config_, lookup, weight_only);
  }

  const Config& config() const override { return config_; }
  const Weights& weights() const override { return weights_; }
  void release(const void*, size_t) const override {}

  /// Null when there is none of that name.
  const Tensor* tensor(const std::string& name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

  /// For tests that break a weight on purpose.
  int8_t* int8_values(const std::string& name) { return static_cast<int8_t*>(const_cast<void*>(tensors_.at(name).data)); }

 private:
  template <typename T>
  T* store(const std::string& name, DType dtype, std::vector<int64_t> shape) {
    size_t count = 1;
    for (int64_t size : shape) count *= static_cast<size_t>(size);
    bytes_.emplace_back((count * sizeof(T) + sizeof(double) - 1) / sizeof(double));
    tensors_[name] = {dtype, std::move(shape), bytes_.back().data(), count * sizeof(T)};
    return reinterpret_cast<T*>(bytes_.back().data());
  }
  float uniform(float limit) { return std::uniform_real_distribution<float>(-limit, limit)(random_); }
  void floats(const std::string& name, std::vector<int64_t> shape, float limit, float centre = 0) {
    float* out = store<float>(name, DType::kF32, shape);
    for (size_t i = 0; i < tensors_[name].bytes / sizeof(float); ++i) out[i] = centre + uniform(limit);
  }
  void smooth(const std::string& name, int width) {
    float* out = store<float>(name + ".smooth", DType::kF32, {width});
    for (int i = 0; i < width; ++i) out[i] = std::ldexp(1.0f, static_cast<int>(random_() % 5) - 2);
  }
  void norm(const std::string& name, const BlockConfig& block) {
    floats(name + ".weight", {block.hidden}, 0.2f, 1.0f);
    if (block.norm == NormKind::kLayer) floats(name + ".bias", {block.hidden}, 0.1f);
  }
  void block(const std::string& name, const BlockConfig& block) {
    norm(name + ".norm1", block);
    if (block.has_norm2()) norm(name + ".norm2", block);
    matrix(name + ".qkv", block.qkv_width(), block.hidden, DType::kI8);
    matrix(name + ".out", block.hidden, block.attention_width(), DType::kI8);
    matrix(name + ".up", block.up_width(), block.hidden, DType::kI8);
    matrix(name + ".down", block.hidden, block.intermediate, DType::kI8);
  }
  void matrix(const std::string& name, int out, int in, DType dtype, bool bias = true) {
    if (dtype == DType::kI8) {
      int8_t* weight = store<int8_t>(name + ".weight", dtype, {out, in});
      for (int i = 0; i < out * in; ++i) weight[i] = static_cast<int8_t>(std::uniform_int_distribution<int>(-127, 127)(random_));
      floats(name + ".scale", {out}, 0.2f / (73.0f * std::sqrt(static_cast<float>(in))), 1.0f / (73.0f * std::sqrt(static_cast<float>(in))));
    } else {
      uint16_t* weight = store<uint16_t>(name + ".weight", dtype, {out, in});
      for (int i = 0; i < out * in; ++i) weight[i] = static_cast<uint16_t>(0x2400 | (random_() & 0x83ff));  // ±2^-6 .. ±2^-5
    }
    if (bias) floats(name + ".bias", {out}, 0.1f);
  }

  Config config_;
  std::mt19937 random_;
  std::deque<std::vector<double>> bytes_;
  std::map<std::string, Tensor> tensors_;
  Weights weights_;
};

}  // namespace mipha::test
