// A package of any size that takes little memory of the host: what a backend makes of it is as large and as slow as the real one.
#pragma once

#include <cstdint>
#include <vector>

#include "package/package.h"

namespace mipha::cuda::bench {

/// INT8 weights anywhere in -127..127; all matrices begin at the same bytes, as many as the largest has. Residuals stay in range over all layers.
class RandomPackage final : public Package {
 public:
  explicit RandomPackage(const Config& config);

  const Config& config() const override { return config_; }
  const Weights& weights() const override { return weights_; }
  void release(const void*, size_t) const override {}

 private:
  Linear matrix(int out, int in) const;
  Norm norm(const BlockConfig& config) const;
  BlockOf<Linear> block(const BlockConfig& config) const;

  const Config config_;
  std::vector<int8_t> bytes_;
  std::vector<uint16_t> halves_;
  std::vector<float> floats_, scales_, ones_;
  Weights weights_;
};

}  // namespace mipha::cuda::bench
