#include "backend/tensorrt/forward.h"

#include <algorithm>
#include <string>

#include "backend/tensorrt/mask.h"
#include "core/error.h"

namespace mipha::tensorrt {
namespace {

size_t pixel_count(const VisionConfig& vision) {
  return size_t{3} * vision.image_size * vision.image_size;
}

size_t feature_count(const Config& config) {
  return static_cast<size_t>(config.image_tokens()) * config.language.hidden;
}

/// Everything that the constructor allocates but the cache, so that it can be refused before.
size_t activation_bytes(const Config& config, size_t scratch, size_t max_rows, size_t cache_rows) {
  const LanguageConfig& language = config.language;
  const size_t floats = pixel_count(config.vision) + feature_count(config) +
                        max_rows * (2 * static_cast<size_t>(language.hidden) + language.rotary_dims) + max_rows * (cache_rows + max_rows) +
                        kMostAnswers * (static_cast<size_t>(language.vocab) + 1);
  return scratch + floats * sizeof(float);
}

size_t cache_bytes(const LanguageConfig& config, size_t rows) {
  return 2 * config.layers * rows * Cache::row_bytes(config);
}

Cache make_cache(const Device& device, const Engines& engines, const Config& config, int rows) {
  const size_t needed =
      activation_bytes(config, engines.scratch_bytes(), engines.max_rows(), rows) + cache_bytes(config.language, static_cast<size_t>(rows));
  const int64_t available = device.available_bytes();
  if (static_cast<int64_t>(needed) > available) {
    throw Error(Code::kMemory,
                "TensorRT: cache and activations: needed " + std::to_string(needed) + " bytes, available " + std::to_string(available) +
                    "; fewer cacheTokens need less",
                {{"neededBytes", static_cast<double>(needed)}, {"availableBytes", static_cast<double>(available)}});
  }
  return {device, config.language, 0, config.language.layers, rows};
}

}  // namespace

Forward::Forward(const Device& device, const Engines& engines, const Package& package, int cache_rows)
    : device_(device),
      engines_(engines),
      config_(package.config()),
      stages_(config_, package.weights()),
      angles_(angles(config_.language, 0, config_.language.context)),
      max_rows_(engines.max_rows()),
      cache_rows_(cache_rows),
      features_(feature_count(config_)),
      planes_(pixel_count(config_.vision)),
      embedded_(static_cast<size_t>(max_rows_) * config_.language.hidden),
      cosine_(static_cast<size_t>(max_rows_) * (config_.language.rotary_dims / 2)),
      sine_(cosine_.size()),
      mask_(static_cast<size_t>(max_rows_) * (cache_rows + max_rows_)),
      answered_(kMostAnswers),
      cache_(make_cache(device, engines, config_, cache_rows)),
      scratch_(device, engines.scratch_bytes(), "activations"),
      pixels_(device, planes_.size() * sizeof(float), "pixels"),
      features_out_(device, features_.size() * sizeof(float), "features"),
      hidden_{{device, embedded_.size() * sizeof(float), "activations"}, {device, embedded_.size() * sizeof(float), "activations"}},
      cosine_in_(device, cosine_.size() * sizeof(float), "angles"),
      sine_in_(device, sine_.size() * sizeof(float), "angles"),
      mask_in_(device, mask_.size() * sizeof(float), "mask"),
      answered_in_(device, answered_.size() * sizeof(int32_t), "rows"),
      logits_out_(device, kMostAnswers * static_cast<size_t>(config_.language.vocab) * sizeof(float), "logits") {}

Memory Forward::memory() const {
  const auto bytes = [](size_t count) { return static_cast<int64_t>(count); };
  const size_t staging = features_.size() + planes_.size() + embedded_.size() + 2 * cosine_.size() + mask_.size();
  return {{{"weights", engines_.weight_bytes()},
           {"cache", bytes(cache_bytes(config_.language, static_cast<size_t>(cache_rows_)))},
           {"activations", bytes(activation_bytes(config_, engines_.scratch_bytes(), max_rows_, cache_rows_))},
           {"staging", bytes(staging * sizeof(float))}}};
}

void Forward::show(const char* name, int layer, const void* device, int rows) const {
  if (!probe_) return;
  std::vector<float> values(static_cast<size_t>(rows) * config_.language.hidden);
  device_.copy_out(values.data(), device, values.size() * sizeof(float));
  device_.wait();
  probe_(layer < 0 ? name : std::string(name) + "." + std::to_string(layer), values.data(), rows, config_.language.hidden);
}

bool Forward::encode(const uint8_t* pixels, const Cancelled& cancelled) {
  if (cancelled && cancelled()) return false;
  const VisionConfig& vision = config_.vision;
  planes(config_, pixels, planes_.data());
  device_.copy_in(pixels_.data(), planes_.data(), pixels_.bytes());
  engines_.vision().bind_input(0, "pixels", {1, 3, vision.image_size, vision.image_size}, pixels_.data());
  engines_.vision().bind_output(0, "features", features_out_.data());
  engines_.vision().run(0, scratch_);
  device_.copy_out(features_.data(), features_out_.data(), features_out_.bytes());
  device_.wait();
  show("features", -1, features_out_.data(), config_.image_tokens());
  return true;
}

/// Brings the inputs of all engines onto the device.
void Forward::fill(const NewRow* rows, int count, const RowTables& sequences, int past) {
  const size_t hidden = config_.language.hidden, half = config_.language.rotary_dims / 2;
  std::vector<int> sequences_of;
  int answers = 0;
  for (int i = 0; i < count; ++i) {
    const NewRow& row = rows[i];
    if (row.id >= 0) {
      const mipha::Floats embedded = stages_.embed(row.id);
      std::copy_n(embedded.data(), hidden, embedded_.data() + i * hidden);
    } else {
      std::copy_n(features_.data() + row.feature * hidden, hidden, embedded_.data() + i * hidden);
    }
    std::copy_n(angles_.cosine.data() + row.position * half, half, cosine_.data() + i * half);
    std::copy_n(angles_.sine.data() + row.position * half, half, sine_.data() + i * half);
    sequences_of.push_back(row.sequence);
    if (row.last) answered_[answers++] = i;
  }
  if (answers == 0) answered_[0] = count - 1;
  build_mask(sequences, sequences_of, past, mask_.data());
  device_.copy_in(hidden_[0].data(), embedded_.data(), count * hidden * sizeof(float));
  device_.copy_in(cosine_in_.data(), cosine_.data(), count * half * sizeof(float));
  device_.copy_in(sine_in_.data(), sine_.data(), count * half * sizeof(float));
  device_.copy_in(mask_in_.data(), mask_.data(), static_cast<size_t>(count) * (past + count) * sizeof(float));
  device_.copy_in(answered_in_.data(), answered_.data(), std::max(1, answers) * sizeof(int32_t));
}

bool Forward::run(const NewRow* rows, int count, RowTables& sequences, float* logits, const Cancelled& cancelled) {
  std::vector<Move> moves;
  const int past = sequences.begin(count, &moves);
  cache_.move(device_, moves);
  fill(rows, count, sequences, past);
  const int answers = static_cast<int>(std::count_if(rows, rows + count, [](const NewRow& row) { return row.last; }));
  show("language", 0, hidden_[0].data(), count);

  int in = 0;
  for (const LanguageEngine& engine : engines_.language()) {
    if (cancelled) {
      device_.wait();  // a cancellation is worth asking for only once the engines before this one are through
      if (cancelled()) return false;
    }
    void* const out = engine.last() ? logits_out_.data() : hidden_[1 - in].data();
    engine.run({count, past, hidden_[in].data(), cosine_in_.data(), sine_in_.data(), mask_in_.data(), answered_in_.data(), std::max(1, answers), out},
               cache_, scratch_);
    in = 1 - in;
    if (!engine.last()) show("language", engine.end(), out, count);
  }
  if (logits != nullptr) {
    device_.copy_out(logits, logits_out_.data(), static_cast<size_t>(answers) * config_.language.vocab * sizeof(float));
  }
  device_.wait();
  for (int i = 0; i < count; ++i) sequences.place(rows[i].sequence, past + i);
  return true;
}

}  // namespace mipha::tensorrt
