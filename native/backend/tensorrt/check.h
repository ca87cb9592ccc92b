// The self-test of one engine: what it makes of the inputs that the package has stored, beside the results that were stored with them. TensorRT
// has built engines that compute something else (see docs/jetson.md), so nothing runs before it has passed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backend/tensorrt/language_engine.h"
#include "backend/tensorrt/library.h"
#include "core/mapped_file.h"
#include "model/config.h"
#include "model/weights.h"

namespace mipha::tensorrt {

/// self-test.safetensors of a package.
class SelfTest {
 public:
  /// Throws kModelMissing when the package was not calibrated.
  SelfTest(const std::string& folder, const Config& config);

  const Config& config() const { return config_; }
  /// Throws kModelFormat when it is missing or another.
  const Tensor& tensor(const std::string& name, DType dtype, const std::vector<int64_t>& shape) const;
  const float* floats(const std::string& name, const std::vector<int64_t>& shape) const;

  static constexpr int kRows = 16;  // of the prefill; one row of decode follows

 private:
  const Config config_;
  const MappedFile file_;
  std::map<std::string, Tensor> tensors_;
};

/// How far an output is from the stored one: relative RMS, ‖engine − stored‖ / ‖stored‖. NaN never passes.
struct Deviation {
  std::string tensor;
  double deviation = 0, limit = 0;
  bool passes() const { return deviation <= limit; }
};

/// Everything that the engine puts out, tower or layers of the language model.
std::vector<Deviation> check_plan(const Library& library, const SelfTest& stored, const std::string& plan);
std::vector<Deviation> check_vision(const Device& device, const SelfTest& stored, const Engine& engine);
std::vector<Deviation> check_language(const Device& device, const SelfTest& stored, const LanguageEngine& engine);

/// Throws kSelfTest, naming engine, tensor, deviation and limit of the first that does not pass.
void require(const std::string& engine, const std::vector<Deviation>& deviations);

}  // namespace mipha::tensorrt
