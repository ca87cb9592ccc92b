// Typed views of a model's weights, a shape on every field. Owns nothing: the bytes belong to a mapped package or to a Store.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "model/config.h"

namespace mipha {

enum class DType { kI8, kF16, kF32 };

/// One tensor as stored: row-major, little-endian.
struct Tensor {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  size_t bytes = 0;
};

/// y = (x ∘ smooth) · Wᵀ + b. INT8 weights carry one scale per output row: W[o, i] ≈ weight[o, i] * scale[o].
struct Linear {
  DType dtype = DType::kF32;
  const void* weight = nullptr;  // [out, in] int8, f16 or f32
  const float* scale = nullptr;  // [out], only with int8
  const float* bias = nullptr;   // [out], null for the embedding
  int out = 0;
  int in = 0;
  const float* smooth = nullptr;  // [in], a factor of each input (SmoothQuant, arXiv 2211.10438); null: none
  bool weight_only = false;       // recipe w8a16: INT8 weights, but the input is not quantized
};

struct Norm {
  const float* gain = nullptr;  // [hidden]
  const float* bias = nullptr;  // [hidden]
};

struct VisionLayer {
  Norm norm1;
  Linear qkv;  // [3 * hidden, hidden]: all q rows, all k rows, all v rows
  Linear out;  // [hidden, hidden]
  Norm norm2;
  Linear fc1;  // [intermediate, hidden]
  Linear fc2;  // [hidden, intermediate]
};

/// Phi's parallel block: one norm feeds attention and MLP.
struct LanguageLayer {
  Norm norm;
  Linear qkv;    // [3 * hidden, hidden]: all q rows, all k rows, all v rows
  Linear dense;  // [hidden, hidden]
  Linear fc1;    // [intermediate, hidden]
  Linear fc2;    // [hidden, intermediate]
};

struct Weights {
  Linear patch_embedding;                     // [vision.hidden, 3 * patch * patch], column order [channel][row][column]
  const float* position_embedding = nullptr;  // [vision.tokens, vision.hidden]
  std::vector<VisionLayer> vision;            // [vision.layers]
  std::vector<Linear> projector;              // first [language.hidden, vision.hidden], then [language.hidden, language.hidden]
  Linear embedding;                           // [vocab, language.hidden], rows are looked up
  std::vector<LanguageLayer> language;        // [language.layers]
  Norm final_norm;
  Linear head;  // [vocab, language.hidden]
};

/// Looks a tensor up by its package name (native/package/README.md lists them); null when absent.
using Lookup = std::function<const Tensor*(const std::string& name)>;

/// Fills the structs, checking presence, type and shape of every tensor. `weight_only`: the matrices that the recipe calls w8a16. Throws kModelFormat
/// naming the tensor, what was expected and what came.
Weights bind(const Config& config, const Lookup& lookup, const std::set<std::string>& weight_only = {});

}  // namespace mipha
