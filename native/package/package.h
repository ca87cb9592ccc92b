// A package opened: its sizes and its mapped INT8 weights.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace mipha {

/// What native code lives by of a manifest.
struct Manifest {
  Config config;                      // of `architecture` and `preprocessing`
  std::set<std::string> weight_only;  // matrices that `recipe` calls w8a16: INT8 weights whose input is not quantized; none without a recipe
};

/// Throws kModelFormat naming the field.
Manifest parse_manifest(const std::string& json);

/// manifest.json of a package's folder. Throws kModelMissing or kModelFormat.
Manifest read_manifest(const std::string& folder);

/// Immutable and shareable between threads; the weights stay mapped until the last owner lets go.
class Package {
 public:
  /// `folder` holds weights.safetensors, which `manifest` describes. Throws kModelMissing or kModelFormat.
  static std::shared_ptr<const Package> open(const std::string& folder, const Manifest& manifest);
  static std::shared_ptr<const Package> open(const std::string& folder) { return open(folder, read_manifest(folder)); }
  virtual ~Package() = default;

  /// Where its other files are; empty when it was never on a disk.
  virtual std::string folder() const { return ""; }
  virtual const Config& config() const = 0;
  virtual const Weights& weights() const = 0;

  /// Tells the system that these bytes of the map are no longer needed in memory (they come back from the file when read again).
  virtual void release(const void* data, size_t bytes) const = 0;
};

}  // namespace mipha
