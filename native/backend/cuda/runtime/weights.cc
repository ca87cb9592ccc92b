#include "backend/cuda/runtime/weights.h"

#include <algorithm>

namespace mipha::cuda {
namespace {

RowOrder rotated(const BlockConfig& config) {
  if (config.rotary_dims == 0) return {};
  return {0, config.head_size, config.rotary_dims, (config.heads + config.kv_heads) * config.head_size};
}

RowOrder gated(const BlockConfig& config) {
  return {config.gated ? config.intermediate : 0};
}

size_t element_bytes(DType dtype) {
  return dtype == DType::kI8 ? 1 : dtype == DType::kF16 ? 2 : 4;
}

Format format_of(const Linear& linear) {
  if (linear.dtype == DType::kF16) return Format::kF16;
  return linear.weight_only ? Format::kS8Wide : Format::kS8;
}

}  // namespace

DeviceWeights::DeviceWeights(DeviceArena& arena, const OpenRequest& request) : arena_(arena), request_(request) {
  const WeightsView& from = *request.weights;
  const VisionConfig& vision = request.config->vision;
  const LanguageConfig& language = request.config->language;
  const int projector_layers = request.config->projector.layers;

  place(from.patch_embedding, {}, patch_embedding);
  position_embedding = place(from.position_embedding, static_cast<size_t>(vision.patches()) * vision.hidden);
  prefix = place(from.prefix, static_cast<size_t>(vision.prefix_rows) * vision.hidden);
  if (vision.pre_norm) pre_norm = place(vision, from.pre_norm);
  tower.resize(vision.layers);
  for (int i = 0; i < vision.layers; ++i) place(vision, from.tower[i], tower[i]);

  projector.resize(projector_layers);
  for (int i = 0; i < projector_layers; ++i) place(from.projector[i], {}, projector[i]);
  if (request.config->projector.pooled) {
    pooling = place(from.pooling, size_t{9} * language.hidden);
    pooling_bias = place(from.pooling_bias, language.hidden);
  }

  const size_t row_bytes = language.hidden * element_bytes(from.embedding.dtype), rows = language.vocab;
  void* const table = arena_.take<uint8_t>(rows * row_bytes);
  parts_.emplace_back([this, table, bytes = rows * row_bytes](Uploader& uploader) {
    const void* const weight = request_.weights->embedding.weight;
    uploader.bytes(weight, bytes, table);
    request_.release(request_.user, weight, bytes);
  });
  embedding = {from.embedding.dtype, table, place(from.embedding.scale, rows), language.hidden};
  decoder.resize(language.layers);
  for (int i = 0; i < language.layers; ++i) place(language, from.decoder[i], decoder[i]);
  final_norm = place(language, from.final_norm);
  place(from.head, {}, head);
  const size_t angles = static_cast<size_t>(language.context) * (language.rotary_dims / 2);
  cosine = place(request.cosine, angles);
  sine = place(request.sine, angles);
}

void DeviceWeights::load(Uploader& uploader) {
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i](uploader);
    if (request_.progress(request_.user, "weights", static_cast<double>(i + 1) / static_cast<double>(parts_.size())) != 0) {
      throw Error(Code::kDisposed, "CUDA: load: cancelled");
    }
  }
  uploader.wait();
  parts_.clear();
}

void DeviceWeights::place(const Linear& from, const RowOrder& order, Matrix& to) {
  const Layout layout(from, order);
  uint8_t* const tiles = arena_.take<uint8_t>(layout.bytes());
  float* const scale = from.scale == nullptr ? nullptr : arena_.take<float>(layout.places);
  float* const bias = arena_.take<float>(layout.places);
  to = {format_of(from), tiles, scale, bias, place(from.smooth, layout.in), layout.out, layout.in, layout.places, layout.depth, order};
  parts_.emplace_back([this, &from, layout, tiles, scale, bias](Uploader& uploader) {
    uploader.matrix(layout, from, tiles);
    if (scale != nullptr) uploader.places(layout, from.scale, scale);
    uploader.places(layout, from.bias, bias);
    request_.release(request_.user, from.weight, static_cast<size_t>(from.out) * from.in * element_bytes(from.dtype));
  });
}

void DeviceWeights::place(const BlockConfig& config, const BlockOf<Linear>& from, DeviceBlock& to) {
  to.norm1 = place(config, from.norm1);
  place(from.qkv, rotated(config), to.qkv);
  place(from.out, {}, to.out);
  if (config.has_norm2()) to.norm2 = place(config, from.norm2);
  place(from.up, gated(config), to.up);
  place(from.down, {}, to.down);
}

Norm DeviceWeights::place(const BlockConfig& config, const Norm& from) {
  return {place(from.gain, config.hidden), place(from.bias, config.hidden)};
}

/// Null where there is none.
const float* DeviceWeights::place(const float* from, size_t count) {
  if (from == nullptr || count == 0) return nullptr;
  float* const to = arena_.take<float>(count);
  parts_.emplace_back([from, count, to](Uploader& uploader) { uploader.bytes(from, count * sizeof(float), to); });
  return to;
}

}  // namespace mipha::cuda
