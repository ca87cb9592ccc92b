#include "backend/backend.h"

#include "backend/cpu/cpu_backend.h"
#include "backend/tensorrt/tensorrt_backend.h"
#include "core/error.h"

namespace mipha {

std::vector<BackendInfo> backends() {
  const std::string missing = tensorrt::missing();
  return {{"tensorrt", missing.empty(), missing}, {"cpu", true, ""}};
}

std::unique_ptr<Backend> create_backend(const std::string& name, std::shared_ptr<const Package> package, const BackendOptions& options,
                                        const Progress& progress) {
  if (name == "auto" || name == "cpu") return cpu::create_cpu_backend(std::move(package), options, progress);
  if (name == "tensorrt") return tensorrt::create_tensorrt_backend(std::move(package), options, progress);
  throw Error(Code::kBackend, "backend '" + name + "' is not part of this build: expected auto, tensorrt or cpu");
}

}  // namespace mipha
