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

/// Row `row` of W as stored, scale included: out [in].
void read_row(const Linear& linear, int row, float* out);

/// Every matrix that rows are multiplied with.
template <class Matrix>
struct ModelOf {
  Matrix patch_embedding;                // [vision.hidden, 3 * patch * patch], column order [channel][row][column]
  std::vector<BlockOf<Matrix>> tower;    // [vision.layers]
  std::vector<Matrix> projector;         // first [language.hidden, vision.hidden], then [language.hidden, language.hidden]
  std::vector<BlockOf<Matrix>> decoder;  // [language.layers]
  Matrix head;                           // [vocab, language.hidden]
};

struct Weights : ModelOf<Linear> {
  const float* position_embedding = nullptr;  // [vision.patches, vision.hidden]
  const float* prefix = nullptr;              // [vision.prefix_rows, vision.hidden], positions added; null: none
  Norm pre_norm;                              // where vision.pre_norm
  const float* pooling = nullptr;             // [language.hidden, 9]: row by row of the 3 × 3 around a pooled row; where projector.pooled
  const float* pooling_bias = nullptr;        // [language.hidden]
  Linear embedding;                           // [vocab, language.hidden], rows are looked up
  Norm final_norm;
};

/// "vision.layers.3"
std::string layer_name(const char* room, int layer);

/// visit(group, name, matrix) for each of them, in the order of the forward pass, by its name in the recipe. Matrices of a group (the patch
/// embedding, a block, the projector, the head) are used together; groups count from 0.
template <class Model, class Visit>
void each_matrix(Model& model, Visit&& visit) {
  int group = 0;
  const auto blocks = [&](auto& list, const char* room) {
    for (size_t i = 0; i < list.size(); ++i, ++group) {
      const std::string layer = layer_name(room, static_cast<int>(i));
      visit(group, layer + ".qkv", list[i].qkv);
      visit(group, layer + ".out", list[i].out);
      visit(group, layer + ".up", list[i].up);
      visit(group, layer + ".down", list[i].down);
    }
  };
  visit(group++, std::string("vision.patch_embedding"), model.patch_embedding);
  blocks(model.tower, "vision");
  for (size_t i = 0; i < model.projector.size(); ++i) visit(group, "projector." + std::to_string(i), model.projector[i]);
  ++group;
  blocks(model.decoder, "language");
  visit(group, std::string("language.head"), model.head);
}

/// Looks a tensor up by its package name (native/package/README.md lists them); null when absent.
using Lookup = std::function<const Tensor*(const std::string& name)>;

/// Fills the structs, checking presence, type and shape of every tensor. `weight_only`: the matrices that the recipe calls w8a16. Throws kModelFormat
/// naming the tensor, what was expected and what came.
Weights bind(const Config& config, const Lookup& lookup, const std::set<std::string>& weight_only = {});

}  // namespace mipha
