// A loaded backend, its intermediates beside those of the FP32 reference, and the bound that INT8 products draw around these.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "test/support/tiny_model.h"

namespace mipha::test {

using Layers = std::map<std::string, std::vector<float>>;

inline std::vector<uint8_t> picture(int side) {
  std::vector<uint8_t> pixels(static_cast<size_t>(side) * side * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 37 % 251 + i / 97 % 5);
  return pixels;
}

inline std::vector<int32_t> token_ids(int count, int first = 0) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((first + 7 * i) % 90);
  return ids;
}

struct Loaded {
  explicit Loaded(const std::string& name, const BackendOptions& options = {},
                  const std::shared_ptr<const Package>& package = std::make_shared<TinyModel>())
      : backend(create_backend(name, package, options, {})), vocab(backend->config().language.vocab) {
    const int side = backend->config().vision.image_size;
    pixels = picture(side);
    image = {pixels.data(), pixels.size(), side, side, side * 3, PixelFormat::kRgb};
  }
  std::vector<float> append(int sequence, const std::vector<Piece>& pieces) {
    std::vector<float> logits(vocab);
    EXPECT_TRUE(backend->append(sequence, pieces, logits.data(), {}));
    return logits;
  }
  std::vector<float> append(int sequence, const std::vector<int32_t>& ids) { return append(sequence, {{ids.data(), static_cast<int>(ids.size())}}); }

  std::unique_ptr<Backend> backend;
  const int vocab;
  std::vector<uint8_t> pixels;
  Image image;
};

inline double rms(const std::vector<float>& x) {
  double sum = 0;
  for (float value : x) sum += static_cast<double>(value) * value;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

inline double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  std::vector<float> difference(x.size());
  for (size_t i = 0; i < x.size(); ++i) difference[i] = x[i] - y[i];
  return rms(difference) / rms(y);
}

/// An INT8 activation is off by at most max|x| / 254, uniformly: relative to its row's rms that is peak / (127 · √12), where peak = max / rms is
/// below 6 for the rows of this model. Products on the way to a layer add up like independent noise, four per layer and two per projector; a
/// factor of two covers that they are not independent.
inline double bound_after(int products) {
  return 2 * 6 / (127 * std::sqrt(12.0)) * std::sqrt(static_cast<double>(products));
}

inline const std::vector<int32_t> kBefore = token_ids(5), kAfter = token_ids(11, 40);

/// Every intermediate of the FP32 reference on a picture between two texts.
inline Layers reference_layers(const TinyModel& model) {
  const int side = model.config().vision.image_size;
  Reference reference(model.config(), model.weights());
  Layers layers;
  const Probe keep = [&](const std::string& name, const float* data, int rows, int columns) {
    layers[name].assign(data, data + static_cast<size_t>(rows) * columns);
  };
  const std::vector<float> features = reference.encode(picture(side).data(), keep);
  std::vector<float> rows;
  for (int32_t id : kBefore)
    for (float value : reference.embed(id)) rows.push_back(value);
  rows.insert(rows.end(), features.begin(), features.end());
  for (int32_t id : kAfter)
    for (float value : reference.embed(id)) rows.push_back(value);
  reference.append(rows, keep);
  return layers;
}

/// The same of a backend.
inline Layers backend_layers(Loaded& loaded) {
  Layers layers;
  loaded.backend->set_probe([&](const std::string& name, const float* data, int count, int columns) {
    layers[name].assign(data, data + static_cast<size_t>(count) * columns);
  });
  EXPECT_TRUE(loaded.backend->encode(loaded.image, {}, nullptr));
  loaded.append(loaded.backend->sequence(), {{kBefore.data(), 5}, {nullptr, loaded.backend->config().image_tokens()}, {kAfter.data(), 11}});
  return layers;
}

/// Names of the matrices of INT8 that are multiplied.
inline std::set<std::string> int8_matrices(const Config& config) {
  const std::string suffix = ".weight";
  std::set<std::string> names;
  const TinyModel model(config);
  for (const auto& [name, tensor] : model.tensors()) {
    if (tensor.dtype == DType::kI8 && name != "language.embedding.weight") names.insert(name.substr(0, name.size() - suffix.size()));
  }
  return names;
}

/// INT8 products on the way from the picture to an intermediate of a tiny model.
inline int products_before(const std::string& name, const Config& config) {
  const int layer = name.back() - '0', features = 4 * config.vision.layers + config.projector.layers;
  if (name.rfind("tower", 0) == 0) return 4 * layer;
  return name == "features" ? features : features + 4 * layer;
}

/// The intermediates of `loaded`, all inside the bound, that before the first INT8 product being `first`; returns the largest share of it that one
/// takes.
inline double fullest_share(Loaded& loaded, const Config& config, const Layers& expected, const std::string& what, double first = 1e-5) {
  Layers seen = backend_layers(loaded);
  EXPECT_EQ(seen.size(), expected.size());
  double fullest = 0;
  for (const auto& [name, values] : expected) {
    EXPECT_EQ(seen[name].size(), values.size()) << name;
    if (seen[name].size() != values.size()) return INFINITY;
    const int products = products_before(name, config);
    const double error = relative_error(seen[name], values), bound = products == 0 ? first : bound_after(products);
    EXPECT_LE(error, bound) << what << " " << name;
    fullest = std::max(fullest, error / bound);
  }
  return fullest;
}

}  // namespace mipha::test
