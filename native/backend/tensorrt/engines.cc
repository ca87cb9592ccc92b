#include "backend/tensorrt/engines.h"

#include <sys/stat.h>

#include <algorithm>

#include "backend/tensorrt/check.h"
#include "core/error.h"

namespace mipha::tensorrt {
namespace {

int64_t file_bytes(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0 ? static_cast<int64_t>(status.st_size) : -1;
}

/// vision.plan and every language.N.plan from 0 on.
std::vector<std::string> list_plans(const std::string& folder) {
  std::vector<std::string> plans = {folder + "/vision.plan", folder + "/language.0.plan"};
  for (int i = 1;; ++i) {
    const std::string next = folder + "/language." + std::to_string(i) + ".plan";
    if (file_bytes(next) < 0) return plans;
    plans.push_back(next);
  }
}

}  // namespace

Engines::Engines(const Library& library, const std::string& folder, const Package& package, const Progress& progress) {
  const Config& config = package.config();
  const std::vector<std::string> plans = list_plans(folder);
  int64_t needed = 0;  // a plan is mostly weights
  for (const std::string& plan : plans) needed += std::max<int64_t>(0, file_bytes(plan));
  if (const int64_t available = library.available_bytes(); needed > available) {
    throw Error(Code::kMemory, "TensorRT: engines: needed " + std::to_string(needed) + " bytes, available " + std::to_string(available),
                {{"neededBytes", static_cast<double>(needed)}, {"availableBytes", static_cast<double>(available)}});
  }
  const SelfTest stored(package.folder(), config);
  double done = 0;
  const auto report = [&] {
    if (progress) progress("engines", done++ / static_cast<double>(plans.size()));
  };
  report();
  vision_ = std::make_shared<const Engine>(library, plans[0]);
  require(vision_->name(), check_vision(library, stored, *vision_));
  report();
  int layers = 0;
  for (size_t i = 1; i < plans.size(); ++i) {
    language_.emplace_back(std::make_shared<const Engine>(library, plans[i]), config);
    const LanguageEngine& engine = language_.back();
    if (engine.first() != layers) break;
    layers = engine.end();
    require(engine.engine().name(), check_language(library, stored, engine));
    report();
  }
  if (layers == config.language.layers && language_.back().last()) return;
  throw Error(Code::kBackend, "TensorRT: " + folder + ": expected engines for " + std::to_string(config.language.layers) +
                                  " layers one after the other, " + "the first " + std::to_string(layers) +
                                  " are there; build them again: mipha build");
}

int Engines::max_rows() const {
  const auto least = std::min_element(language_.begin(), language_.end(), [](const auto& a, const auto& b) { return a.max_rows() < b.max_rows(); });
  return least->max_rows();
}

int Engines::cache_rows() const {
  const auto least =
      std::min_element(language_.begin(), language_.end(), [](const auto& a, const auto& b) { return a.cache_rows() < b.cache_rows(); });
  return least->cache_rows();
}

size_t Engines::scratch_bytes() const {
  size_t most = vision_->scratch_bytes();
  for (const LanguageEngine& engine : language_) most = std::max(most, engine.engine().scratch_bytes());
  return most;
}

int64_t Engines::weight_bytes() const {
  int64_t sum = vision_->weight_bytes();
  for (const LanguageEngine& engine : language_) sum += engine.engine().weight_bytes();
  return sum;
}

}  // namespace mipha::tensorrt
