// What backends of a package share, whatever they compute on: pictures made ready, extensions taken apart into rows, a decode step as an extension.
#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"

namespace mipha {

/// A new row of some sequence.
struct NewRow {
  int sequence, position;
  int32_t id;   // −1: a feature
  int feature;  // −1: a token
  bool last;    // of its extension: its logits are wanted
};

class ModelBackend : public Backend {
 public:
  const Config& config() const final { return package_->config(); }
  bool encode(const Image& image, const Cancelled& cancelled, EncodeTimes* times) final;
  void step(const int* sequences, const int32_t* ids, int count, float* logits) override;

 protected:
  explicit ModelBackend(std::shared_ptr<const Package> package) : package_(std::move(package)) {}

  /// Resizes the picture where the backend computes. False: it is not done there, or not with this picture.
  virtual bool resize_inside(const Image&) { return false; }
  /// pixels uint8 [image_size, image_size, 3], null: those of resize_inside() → features, kept inside. False when cancelled.
  virtual bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) = 0;

  /// Every row of the extensions in order, at its position behind what its sequence holds now.
  std::vector<NewRow> list_rows(const std::vector<Extension>& extensions) const;

  const std::shared_ptr<const Package> package_;
};

}  // namespace mipha
