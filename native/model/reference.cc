#include "model/reference.h"

#include "core/error.h"

namespace mipha {
namespace {

void show(const Probe& probe, const std::string& name, const Floats& x, int columns) {
  if (probe) probe(name, x.data(), static_cast<int>(x.size() / columns), columns);
}

}  // namespace

Reference::Reference(const Config& config, const Weights& weights) : stages_(config, weights) {
  reset();
}

std::vector<float> Reference::encode(const uint8_t* pixels, const Probe& probe) const {
  const Config& config = stages_.config();
  Floats x = stages_.patches(pixels);
  show(probe, "tower.0", x, config.vision.hidden);
  for (int l = 0; l < config.vision.layers; ++l) {
    stages_.vision_layer(l, x);
    show(probe, "tower." + std::to_string(l + 1), x, config.vision.hidden);
  }
  x = stages_.projector(std::move(x));
  show(probe, "features", x, config.language.hidden);
  return x;
}

std::vector<float> Reference::append(const std::vector<float>& embedded, const Probe& probe) {
  const LanguageConfig& language = stages_.config().language;
  const int hidden = language.hidden, rows = static_cast<int>(embedded.size() / hidden);
  if (embedded.size() % hidden != 0) {
    throw Error(Code::kInternal, std::to_string(embedded.size()) + " values are no whole rows of " + std::to_string(hidden));
  }
  if (length_ + rows > language.context) {
    throw Error(Code::kContextFull,
                std::to_string(rows) + " rows after " + std::to_string(length_) + " exceed the context of " + std::to_string(language.context),
                {{"neededTokens", length_ + rows}, {"availableTokens", language.context}});
  }

  Floats x = embedded;
  const Angles at = angles(language, length_, rows);
  show(probe, "language.0", x, hidden);
  for (int l = 0; l < language.layers; ++l) {
    const size_t seen = static_cast<size_t>(length_) * language.kv_width();
    keys_[l].resize(seen);  // a probe that threw may have left rows of an unfinished append
    values_[l].resize(seen);
    stages_.language_layer(l, x, at, keys_[l], values_[l]);
    if (l + 1 < language.layers) show(probe, "language." + std::to_string(l + 1), x, hidden);
  }
  x = stages_.final_norm(x);
  show(probe, "language." + std::to_string(language.layers), x, hidden);
  Floats logits = stages_.head(x);
  length_ += rows;
  return logits;
}

void Reference::reset() {
  length_ = 0;
  keys_.assign(stages_.config().language.layers, {});
  values_.assign(stages_.config().language.layers, {});
}

}  // namespace mipha
