#include "test/standin/segment.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

#include "core/half.h"
#include "model/observe.h"
#include "package/json.h"
#include "package/package.h"
#include "package/safetensors.h"

namespace mipha::standin {
namespace {

const std::byte* bytes_of(const std::vector<uint64_t>& words) {
  return reinterpret_cast<const std::byte*>(words.data());
}

Floats floats(const Binding& from) {
  size_t count = 1;
  for (int64_t size : from.dims) count *= static_cast<size_t>(size);
  const auto* const data = static_cast<const float*>(from.data);
  return count == 0 ? Floats() : Floats(data, data + count);
}

/// [past, kv_heads, head size] f16 → [past, width]
Floats halves(const Binding& from, int width) {
  Floats out(static_cast<size_t>(from.dims[0]) * width);
  const auto* const data = static_cast<const uint16_t*>(from.data);
  for (size_t i = 0; i < out.size(); ++i) out[i] = from_half(data[i]);
  return out;
}

/// inputScale of the matrices whose recipe is w8a8.
std::map<std::string, float> input_scales(const Plan& plan) {
  std::map<std::string, float> scales;
  if (plan.wide) return scales;
  const Json calibration = parse_json(plan.calibration, "calibration.json"), manifest = parse_json(plan.manifest, "manifest.json");
  const Json* const matrices = calibration.find("matrices");
  const Json* const recipe = manifest.find("recipe");
  if (matrices == nullptr || recipe == nullptr) throw std::runtime_error("expected a calibration and a recipe");
  for (const auto& [name, matrix] : matrices->members) {
    const Json* const precision = recipe->find(name);
    if (precision != nullptr && precision->string == "w8a8") scales[name] = static_cast<float>(matrix.find("inputScale")->number);
  }
  return scales;
}

}  // namespace

Segment::Segment(Plan plan, ThreadPool& pool) : plan_(std::move(plan)), scales_(input_scales(plan_)) {
  const auto [config, weight_only] = parse_manifest(plan_.manifest);
  const auto tensors = read_safetensors(bytes_of(plan_.weights), plan_.weight_bytes, "weights of the plan");
  const Lookup lookup = [&](const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() ? nullptr : &found->second;
  };
  stages_ = std::make_unique<const Stages>(config, mipha::bind(config, lookup, weight_only), &pool);
  vision_ = plan_.graph == "vision";
  if (!vision_ && (std::sscanf(plan_.graph.c_str(), "language %d %d", &first_, &end_) != 2 || first_ >= end_ || end_ > config.language.layers)) {
    throw std::runtime_error("mipha.graph: expected vision or layers of the language model, received " + plan_.graph);
  }
  for (const auto& [name, tensor] : tensors) {
    int layer = -1;
    const bool head = name.rfind("language.head", 0) == 0 && end_ == config.language.layers;
    const bool mine = vision_ ? name.rfind("language", 0) != 0
                              : head || (std::sscanf(name.c_str(), "language.layers.%d.", &layer) == 1 && layer >= first_ && layer < end_);
    if (mine) weight_bytes_ += static_cast<int64_t>(tensor.bytes);
  }
  tap_ = [this](const std::string& matrix, float* data, int rows, int columns) {
    const auto found = scales_.find(matrix);
    if (found != scales_.end()) fake_quantize(data, static_cast<size_t>(rows) * columns, found->second);
  };
}

void Segment::run(const Bindings& bindings) const {
  vision_ ? run_vision(bindings) : run_language(bindings);
}

void Segment::write(const Binding& to, const Floats& values) const {
  const float factor = plan_.wrong ? 2.0f : 1.0f;
  for (size_t i = 0; i < values.size(); ++i) static_cast<float*>(to.data)[i] = factor * values[i];
}

void Segment::run_vision(const Bindings& bindings) const {
  const int side = stages_->config().vision.image_size, area = side * side;
  const Floats values = floats(bindings.at("pixels"));
  std::vector<uint8_t> pixels(values.size());
  for (int channel = 0; channel < 3; ++channel) {
    for (int i = 0; i < area; ++i) {
      pixels[3 * static_cast<size_t>(i) + channel] = static_cast<uint8_t>(std::lround((values[static_cast<size_t>(channel) * area + i] + 1) * 127.5));
    }
  }
  Floats x = stages_->patches(pixels.data(), tap_);
  for (int layer = 0; layer < stages_->config().vision.layers; ++layer) stages_->vision_layer(layer, x, tap_);
  write(bindings.at("features"), stages_->projector(std::move(x), tap_));
}

void Segment::run_language(const Bindings& bindings) const {
  const LanguageConfig& config = stages_->config().language;
  Floats x = floats(bindings.at("hidden_in"));
  Angles angles;
  if (config.rotary_dims > 0) angles = {floats(bindings.at("cosine")), floats(bindings.at("sine"))};
  const Floats mask = floats(bindings.at("mask"));
  for (int layer = first_; layer < end_; ++layer) {
    const std::string number = "." + std::to_string(layer);
    Floats keys = halves(bindings.at("past_keys" + number), config.kv_width()),
           values = halves(bindings.at("past_values" + number), config.kv_width());
    const size_t past = keys.size();
    stages_->language_layer(layer, x, angles, keys, values, mask.data(), tap_);
    for (const auto& [name, rows] : {std::pair("new_keys", &keys), std::pair("new_values", &values)}) {
      auto* const out = static_cast<uint16_t*>(bindings.at(name + number).data);
      for (size_t i = past; i < rows->size(); ++i) out[i - past] = to_half((*rows)[i]);
    }
  }
  if (end_ < config.layers) return write(bindings.at("hidden_out"), x);
  const Binding& answered = bindings.at("rows");
  Floats answers;
  for (int64_t i = 0; i < answered.dims[0]; ++i) {
    const int32_t row = static_cast<const int32_t*>(answered.data)[i];
    if (row < 0 || row >= static_cast<int32_t>(x.size()) / config.hidden) throw std::runtime_error("rows: no row " + std::to_string(row));
    answers.insert(answers.end(), x.begin() + row * static_cast<std::ptrdiff_t>(config.hidden),
                   x.begin() + (row + 1) * static_cast<std::ptrdiff_t>(config.hidden));
  }
  write(bindings.at("logits"), stages_->head(stages_->final_norm(answers), tap_));
}

}  // namespace mipha::standin
