#include "package/package.h"

#include <map>

#include "core/error.h"
#include "core/mapped_file.h"
#include "package/safetensors.h"

namespace mipha {
namespace {

constexpr size_t kMaxManifestBytes = 16u << 20;

Config read_config(const std::string& path) {
  const MappedFile file(path);
  if (file.bytes() > kMaxManifestBytes) throw Error(Code::kModelFormat, path + " is too large: " + std::to_string(file.bytes()) + " bytes");
  return parse_config({reinterpret_cast<const char*>(file.data()), file.bytes()});
}

class MappedPackage final : public Package {
 public:
  explicit MappedPackage(const std::string& folder) : config_(read_config(folder + "/manifest.json")), file_(folder + "/weights.safetensors") {
    const auto tensors = read_safetensors(file_.data(), file_.bytes(), file_.path());
    weights_ = bind(config_, [&](const std::string& name) {
      const auto found = tensors.find(name);
      return found == tensors.end() ? nullptr : &found->second;
    });
  }

  const Config& config() const override { return config_; }
  const Weights& weights() const override { return weights_; }
  void release(const void* data, size_t bytes) const override { file_.release(data, bytes); }

 private:
  const Config config_;
  const MappedFile file_;
  Weights weights_;
};

}  // namespace

std::shared_ptr<const Package> Package::open(const std::string& folder) {
  return std::make_shared<MappedPackage>(folder);
}

}  // namespace mipha
