// What backends of a package share, whatever they compute on: pictures made ready, extensions taken apart into rows and passes over them, sequences
// that are as they were when something goes wrong.
#pragma once

#include <functional>
#include <memory>
#include <utility>
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
  bool append(const std::vector<Extension>& extensions, float* logits, const Cancelled& cancelled) final;
  void step(const int* sequences, const int32_t* ids, int count, float* logits) override;

 protected:
  explicit ModelBackend(std::shared_ptr<const Package> package) : package_(std::move(package)) {}

  /// Resizes the picture where the backend computes. False: it is not done there, or not with this picture.
  virtual bool resize_inside(const Image&) { return false; }
  /// pixels uint8 [image_size, image_size, 3], null: those of resize_inside() → features, kept inside. False when cancelled.
  virtual bool encode_pixels(const uint8_t* pixels, const Cancelled& cancelled) = 0;

  /// Each of them as a sequence grows by one token.
  static std::vector<Extension> as_extensions(const int* sequences, const int32_t* ids, int count);
  /// Grows every sequence and then does `compute`. Every sequence is as it was unless that is true: one did not fit, or it is false or throws.
  virtual bool extend(const std::vector<Extension>& extensions, const std::function<bool()>& compute) = 0;
  /// Rows that one pass can have.
  virtual int max_rows() const = 0;
  /// One pass over rows that their sequences have grown by: at most max_rows(), at most kMaxBatch of them the last of their extension. Logits of
  /// these [last rows, vocab] unless null. False when cancelled.
  virtual bool run(const NewRow* rows, int count, float* logits, const Cancelled& cancelled) = 0;

  const std::shared_ptr<const Package> package_;

 private:
  std::vector<NewRow> list_rows(const std::vector<Extension>& extensions) const;
};

/// A backend whose sequences are in `Tables`: BlockTables or RowTables.
template <class Tables>
class SequenceBackend : public ModelBackend {
 public:
  int sequence() final { return tables_.create(); }
  int fork(int sequence) final { return tables_.fork(sequence); }
  void truncate(int sequence, int length) final { tables_.truncate(sequence, length); }
  void release(int sequence) final { tables_.release(sequence); }
  int length(int sequence) const final { return tables_.length(sequence); }
  int room(int sequence) const final { return tables_.room(sequence); }
  bool reserve(int sequence, int rows) final { return tables_.reserve(sequence, rows); }

 protected:
  /// `sequences` is a member of the backend itself: it needs the memory that comes before it.
  SequenceBackend(std::shared_ptr<const Package> package, Tables& sequences) : ModelBackend(std::move(package)), tables_(sequences) {}

  bool extend(const std::vector<Extension>& extensions, const std::function<bool()>& compute) final {
    std::vector<typename Tables::State> before;
    const auto restore = [&] {
      for (size_t i = before.size(); i-- > 0;) tables_.restore(extensions[i].sequence, before[i]);
    };
    try {
      for (const Extension& extension : extensions) before.push_back(tables_.extend(extension.sequence, extension.rows()));
      if (compute()) return true;
    } catch (...) {
      restore();
      throw;
    }
    restore();
    return false;
  }

 private:
  Tables& tables_;
};

}  // namespace mipha
