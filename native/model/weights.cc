#include "model/weights.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/half.h"

namespace mipha {
namespace {

std::string describe(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

const char* describe(DType dtype) {
  switch (dtype) {
    case DType::kI8:
      return "I8";
    case DType::kF16:
      return "F16";
    case DType::kF32:
      return "F32";
  }
  return "?";
}

class Binder {
 public:
  Binder(const Lookup& lookup, const std::set<std::string>& weight_only) : lookup_(lookup), weight_only_(weight_only) {}

  /// name.weight [out, in], name.scale [out] exactly with INT8, name.bias [out] when it has one, name.smooth [in] where smoothing needed it.
  Linear linear(const std::string& name, int out, int in, bool has_bias = true, bool smoothable = false) const {
    const Tensor& weight = tensor(name + ".weight", {out, in});
    Linear linear;
    linear.dtype = weight.dtype;
    linear.weight = weight.data;
    if (weight.dtype == DType::kI8) {
      linear.scale = vector(name + ".scale", {out});
      for (int row = 0; row < out; ++row) {
        if (linear.scale[row] < 0) fail(name + ".scale", "no negative scale", "one in row " + std::to_string(row));
      }
    } else if (lookup_(name + ".scale") != nullptr) {
      fail(name + ".scale", "none", std::string("one beside a weight of type ") + describe(weight.dtype));
    }
    if (has_bias) linear.bias = vector(name + ".bias", {out});
    if (lookup_(name + ".smooth") != nullptr) {
      if (!smoothable) fail(name + ".smooth", "none: smoothing of this matrix is folded into what stands before it", "one");
      linear.smooth = vector(name + ".smooth", {in});
    }
    linear.weight_only = weight_only_.count(name) > 0;
    if (linear.weight_only && linear.dtype != DType::kI8) fail(name + ".weight", "type I8, because the recipe says w8a16", describe(linear.dtype));
    linear.out = out;
    linear.in = in;
    return linear;
  }

  Norm norm(const std::string& name, const BlockConfig& block) const {
    const bool has_bias = block.norm == NormKind::kLayer;
    return {vector(name + ".weight", {block.hidden}), has_bias ? vector(name + ".bias", {block.hidden}) : nullptr};
  }

  /// F32, every value finite.
  const float* vector(const std::string& name, const std::vector<int64_t>& shape) const {
    const Tensor& found = tensor(name, shape);
    if (found.dtype != DType::kF32) fail(name, "type F32", describe(found.dtype));
    const auto* const values = static_cast<const float*>(found.data);
    for (size_t i = 0; i < found.bytes / sizeof(float); ++i) {
      if (!std::isfinite(values[i])) fail(name, "finite values", std::to_string(values[i]) + " at index " + std::to_string(i));
    }
    return values;
  }

 private:
  [[noreturn]] static void fail(const std::string& name, const std::string& expected, const std::string& received) {
    throw Error(Code::kModelFormat, "tensor " + name + ": expected " + expected + ", received " + received);
  }

  const Tensor& tensor(const std::string& name, const std::vector<int64_t>& shape) const {
    const Tensor* const found = lookup_(name);
    if (found == nullptr) fail(name, describe(shape), "nothing: it is missing");
    if (found->shape != shape) fail(name, describe(shape), describe(found->shape));
    return *found;
  }

  const Lookup& lookup_;
  const std::set<std::string>& weight_only_;
};

}  // namespace

std::string layer_name(const char* room, int layer) {
  return std::string(room) + ".layers." + std::to_string(layer);
}

void read_row(const Linear& linear, int row, float* out) {
  const size_t first = static_cast<size_t>(row) * linear.in;
  switch (linear.dtype) {
    case DType::kI8:
      for (int i = 0; i < linear.in; ++i) out[i] = static_cast<float>(static_cast<const int8_t*>(linear.weight)[first + i]) * linear.scale[row];
      break;
    case DType::kF16:
      for (int i = 0; i < linear.in; ++i) out[i] = from_half(static_cast<const uint16_t*>(linear.weight)[first + i]);
      break;
    case DType::kF32:
      std::copy_n(static_cast<const float*>(linear.weight) + first, linear.in, out);
      break;
  }
}

Weights bind(const Config& config, const Lookup& lookup, const std::set<std::string>& weight_only) {
  const Binder binder(lookup, weight_only);
  const auto blocks = [&](const BlockConfig& block, int layers, const char* room) {
    std::vector<BlockOf<Linear>> bound(layers);
    for (int i = 0; i < layers; ++i) {
      const std::string layer = layer_name(room, i);
      bound[i].norm1 = binder.norm(layer + ".norm1", block);
      bound[i].qkv = binder.linear(layer + ".qkv", block.qkv_width(), block.hidden);
      bound[i].out = binder.linear(layer + ".out", block.hidden, block.attention_width());
      if (block.has_norm2()) bound[i].norm2 = binder.norm(layer + ".norm2", block);
      bound[i].up = binder.linear(layer + ".up", block.up_width(), block.hidden);
      bound[i].down = binder.linear(layer + ".down", block.hidden, block.intermediate, true, true);
    }
    return bound;
  };

  const VisionConfig& vision = config.vision;
  const LanguageConfig& language = config.language;
  Weights weights;
  weights.patch_embedding = binder.linear("vision.patch_embedding", vision.hidden, vision.patch_values());
  weights.position_embedding = binder.vector("vision.position_embedding", {vision.patches(), vision.hidden});
  if (vision.prefix_rows > 0) weights.prefix = binder.vector("vision.prefix", {vision.prefix_rows, vision.hidden});
  if (vision.pre_norm) weights.pre_norm = binder.norm("vision.pre_norm", vision);
  weights.tower = blocks(vision, vision.layers, "vision");
  for (int i = 0; i < config.projector.layers; ++i) {
    weights.projector.push_back(
        binder.linear("projector." + std::to_string(i), language.hidden, i == 0 ? vision.hidden : language.hidden, true, true));
  }
  if (config.projector.pooled) {
    weights.pooling = binder.vector("projector.pooling.weight", {language.hidden, 9});
    weights.pooling_bias = binder.vector("projector.pooling.bias", {language.hidden});
  }
  weights.embedding = binder.linear("language.embedding", language.vocab, language.hidden, false);
  weights.decoder = blocks(language, language.layers, "language");
  weights.final_norm = binder.norm("language.final_norm", language);
  weights.head = binder.linear("language.head", language.vocab, language.hidden);
  return weights;
}

}  // namespace mipha
