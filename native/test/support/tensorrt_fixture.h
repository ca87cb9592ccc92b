// A tiny model as a package with plans of the stand-in and the tensors that they are checked against.
#pragma once

#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/half.h"
#include "model/stages.h"
#include "test/standin/build.h"
#include "test/standin/plan.h"
#include "test/support/stored_model.h"
#include "test/support/tiny_model.h"

namespace mipha::test {

constexpr int kF32 = 1, kI32 = 6, kF16 = 10;  // of onnx.proto

/// self-test.safetensors of a model whose inputs are not quantized: 16 rows of text, then one.
class StoredResults {
 public:
  explicit StoredResults(const TinyModel& model) : stages_(model.config(), model.weights()), config_(model.config()) {
    const VisionConfig& vision = config_.vision;
    const int area = vision.image_size * vision.image_size;
    std::vector<uint8_t> pixels(static_cast<size_t>(3 * area));
    std::vector<float> planes(pixels.size());
    for (int i = 0; i < 3 * area; ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251);
    mipha::planes(config_, pixels.data(), planes.data());
    Floats x = stages_.patches(pixels.data());
    for (int layer = 0; layer < vision.layers; ++layer) stages_.vision_layer(layer, x);
    keep("vision.pixels", {3, vision.image_size, vision.image_size}, planes);
    keep("vision.features", {config_.image_tokens(), config_.language.hidden}, stages_.projector(std::move(x)));
    keep("vision.noise", {1}, {0});
    keep("language.noise", {config_.language.layers + 1}, Floats(config_.language.layers + 1, 0.0f));
    keys_.resize(config_.language.layers);
    values_.resize(config_.language.layers);
    phase("language.prefill.", 0, 16);
    phase("language.decode.", 16, 1);
  }
  std::string bytes() const { return safetensors_of(tensors_); }

 private:
  void phase(const std::string& name, int first, int rows) {
    const LanguageConfig& language = config_.language;
    const int64_t hidden = language.hidden;
    Floats x;
    for (int i = 0; i < rows; ++i) {
      const Floats row = stages_.embed((5 * (first + i)) % language.vocab);
      x.insert(x.end(), row.begin(), row.end());
    }
    const Angles at = angles(language, first, rows);
    for (int layer = 0; layer < language.layers; ++layer) {
      const std::string number = name + std::to_string(layer);
      keep(number, {rows, hidden}, x);
      stages_.language_layer(layer, x, at, keys_[layer], values_[layer]);
      keep_halves(number + ".keys", rows, keys_[layer]);
      keep_halves(number + ".values", rows, values_[layer]);
    }
    keep(name + std::to_string(language.layers), {rows, hidden}, x);
    keep(name + "logits", {1, language.vocab}, stages_.head(stages_.final_norm(Floats(x.end() - hidden, x.end()))));
  }
  void keep(const std::string& name, std::vector<int64_t> shape, const Floats& values) {
    floats_.push_back(values);
    tensors_[name] = {DType::kF32, std::move(shape), floats_.back().data(), values.size() * sizeof(float)};
  }
  void keep_halves(const std::string& name, int rows, const Floats& all) {
    std::vector<uint16_t>& halves = halves_.emplace_back();
    for (size_t i = all.size() - static_cast<size_t>(rows) * config_.language.hidden; i < all.size(); ++i) halves.push_back(to_half(all[i]));
    tensors_[name] = {DType::kF16, {rows, config_.language.kv_heads, config_.language.head_size}, halves.data(), halves.size() * sizeof(uint16_t)};
  }

  const Stages stages_;
  const Config config_;
  std::vector<Floats> keys_, values_;
  std::deque<Floats> floats_;
  std::deque<std::vector<uint16_t>> halves_;
  std::map<std::string, Tensor> tensors_;
};

/// The package, with engines for layers [0, 2) and [2, 3).
class EngineFolder {
 public:
  explicit EngineFolder(int max_rows = 32, int cache_rows = 400) : max_rows_(max_rows), cache_rows_(cache_rows) {
    folder_.write("manifest.json", manifest_of(model.config()));
    folder_.write("weights.safetensors", safetensors_of(model.tensors()));
    folder_.write("self-test.safetensors", StoredResults(model).bytes());
    write_plan("vision", "vision");
    write_plan("language.0", "language 0 2");
    write_plan("language.1", "language 2 3");
  }

  const std::string& path() const { return folder_.path(); }
  std::shared_ptr<const Package> package() const { return Package::open(path()); }
  BackendOptions options() const {
    BackendOptions options;
    options.tensorrt = {MIPHA_STANDIN, path()};
    return options;
  }
  std::unique_ptr<Backend> load(int cache_tokens = 0) const {
    BackendOptions options = this->options();
    options.cache_tokens = cache_tokens;
    return create_backend("tensorrt", package(), options, {});
  }

  void write_plan(const std::string& name, const std::string& graph, bool wrong = false) const {
    standin::Plan plan;
    plan.tensorrt = standin::kTensorRt;
    plan.gpu = standin::kGpu;
    plan.graph = graph;
    plan.manifest = manifest_of(model.config());
    plan.calibration = "{\"matrices\":{}}";
    plan.wrong = wrong;
    const std::string weights = safetensors_of(model.tensors());
    plan.weight_bytes = weights.size();
    plan.weights.resize((weights.size() + 7) / 8);
    std::memcpy(plan.weights.data(), weights.data(), weights.size());
    int first = 0, end = 0;
    if (std::sscanf(graph.c_str(), "language %d %d", &first, &end) == 2)
      language(first, end, plan);
    else
      vision(plan);
    folder_.write(name + ".plan", plan.encode());
  }

  const TinyModel model;

 private:
  void vision(standin::Plan& plan) const {
    const int64_t side = model.config().vision.image_size;
    plan.profiles.resize(1);
    input(plan, "pixels", kF32, {{1, ""}, {3, ""}, {side, ""}, {side, ""}});
    plan.tensors.push_back({"features", kF32, {{model.config().image_tokens(), ""}, {model.config().language.hidden, ""}}, false});
  }

  void language(int first, int end, standin::Plan& plan) const {
    const LanguageConfig& c = model.config().language;
    const bool last = end == c.layers;
    const auto each_layer = [&](auto&& body) {
      for (int layer = first; layer < end; ++layer) {
        for (const char* name : {"keys.", "values."}) body(name + std::to_string(layer));
      }
    };
    plan.profiles.resize(2);
    input(plan, "hidden_in", kF32, {{-1, "rows"}, {c.hidden, ""}});
    input(plan, "cosine", kF32, {{-1, "rows"}, {c.rotary_dims / 2, ""}});
    input(plan, "sine", kF32, {{-1, "rows"}, {c.rotary_dims / 2, ""}});
    input(plan, "mask", kF32, {{-1, "rows"}, {-1, "columns"}});
    each_layer([&](const std::string& name) { input(plan, "past_" + name, kF16, {{-1, "past"}, {c.kv_heads, ""}, {c.head_size, ""}}); });
    if (last) input(plan, "rows", kI32, {{-1, "answers"}});
    each_layer([&](const std::string& name) {
      plan.tensors.push_back({"new_" + name, kF16, {{-1, "rows"}, {c.kv_heads, ""}, {c.head_size, ""}}, false});
    });
    if (last)
      plan.tensors.push_back({"logits", kF32, {{-1, "answers"}, {c.vocab, ""}}, false});
    else
      plan.tensors.push_back({"hidden_out", kF32, {{-1, "rows"}, {c.hidden, ""}}, false});
  }

  void input(standin::Plan& plan, const std::string& name, int type, const std::vector<standin::Dim>& dims) const {
    plan.tensors.push_back({name, type, dims, true});
    for (size_t profile = 0; profile < plan.profiles.size(); ++profile) {
      const int64_t rows = profile == 0 ? max_rows_ : 8;
      standin::InputRange range;
      for (const standin::Dim& dim : dims) {
        const int64_t most = dim.name == "rows" ? rows : dim.name == "past" ? cache_rows_ : dim.name == "columns" ? cache_rows_ + rows : 8;
        range.least.push_back(dim.size >= 0 ? dim.size : dim.name == "past" ? 0 : 1);
        range.most.push_back(dim.size >= 0 ? dim.size : most);
      }
      plan.profiles[profile].push_back(range);
    }
  }

  const int max_rows_, cache_rows_;
  const TemporaryFolder folder_;
};

}  // namespace mipha::test
