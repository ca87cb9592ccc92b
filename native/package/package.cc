#include "package/package.h"

#include <map>

#include "core/error.h"
#include "core/mapped_file.h"
#include "package/safetensors.h"

namespace mipha {
namespace {

constexpr size_t kMaxManifestBytes = 16u << 20;

class MappedPackage final : public Package {
 public:
  MappedPackage(const std::string& folder, const Manifest& manifest)
      : folder_(folder), config_(manifest.config), file_(folder + "/weights.safetensors") {
    const auto tensors = read_safetensors(file_.data(), file_.bytes(), file_.path());
    const Lookup lookup = [&](const std::string& name) {
      const auto found = tensors.find(name);
      return found == tensors.end() ? nullptr : &found->second;
    };
    weights_ = mipha::bind(config_, lookup, manifest.weight_only);
  }

  std::string folder() const override { return folder_; }
  const Config& config() const override { return config_; }
  const Weights& weights() const override { return weights_; }
  void release(const void* data, size_t bytes) const override { file_.release(data, bytes); }

 private:
  const std::string folder_;
  const Config config_;
  const MappedFile file_;
  Weights weights_;
};

}  // namespace

Manifest read_manifest(const std::string& folder) {
  const MappedFile file(folder + "/manifest.json");
  if (file.bytes() > kMaxManifestBytes) throw Error(Code::kModelFormat, file.path() + " is too large: " + std::to_string(file.bytes()) + " bytes");
  return parse_manifest({reinterpret_cast<const char*>(file.data()), file.bytes()});
}

std::shared_ptr<const Package> Package::open(const std::string& folder, const Manifest& manifest) {
  return std::make_shared<MappedPackage>(folder, manifest);
}

}  // namespace mipha
