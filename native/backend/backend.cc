#include "backend/backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/tensorrt/tensorrt_backend.h"
#include "core/error.h"

namespace mipha {
namespace {

struct Entry {
  const char* name;
  std::string (*missing)();  // why it cannot be had on this machine; empty: nothing speaks against it
  std::unique_ptr<Backend> (*create)(std::shared_ptr<const Package>, const BackendOptions&, const Progress&);
};

/// Everything that this binary can run a package on, best first.
constexpr Entry kBackends[] = {
    {"tensorrt", tensorrt::missing,
     [](std::shared_ptr<const Package> package, const BackendOptions& options, const Progress& progress) {
       return tensorrt::create_tensorrt_backend(std::move(package), options.cache_tokens, options.tensorrt, progress);
     }},
    {"cuda", cuda::missing,
     [](std::shared_ptr<const Package> package, const BackendOptions& options, const Progress& progress) {
       return cuda::create_cuda_backend(std::move(package), options.cache_tokens, progress);
     }},
    {"cpu", [] { return std::string(); },
     [](std::shared_ptr<const Package> package, const BackendOptions& options, const Progress& progress) {
       return cpu::create_cpu_backend(std::move(package), options.cache_tokens, options.cpu, progress);
     }},
};

}  // namespace

Choice likeliest(const float* logits, const std::vector<int32_t>& candidates) {
  Choice choice;
  float first = -std::numeric_limits<float>::infinity(), second = first;
  for (const int32_t id : candidates) {
    const float logit = logits[id];
    if (!std::isfinite(logit)) continue;
    if (choice.id < 0 || logit > first) {
      second = first;
      first = logit;
      choice.id = id;
    } else {
      second = std::max(second, logit);
    }
  }
  if (choice.id >= 0) choice.margin = first - second;
  return choice;
}

void Backend::decode(const int* sequences, const int32_t* ids, const Chooser* choosers, int count, float* logits, Choice* choices) {
  step(sequences, ids, count, logits);
  for (int i = 0; i < count; ++i) {
    if (const Candidates& candidates = choosers[i].candidates)
      choices[i] = likeliest(logits + i * static_cast<size_t>(config().language.vocab), *candidates);
    else
      choices[i] = {Choice::kByCaller};
  }
}

std::vector<BackendInfo> backends() {
  std::vector<BackendInfo> infos;
  for (const Entry& entry : kBackends) {
    const std::string missing = entry.missing();
    infos.push_back({entry.name, missing.empty(), missing});
  }
  return infos;
}

std::unique_ptr<Backend> create_backend(const std::string& name, std::shared_ptr<const Package> package, const BackendOptions& options,
                                        const Progress& progress) {
  std::string names;
  for (const Entry& entry : kBackends) {
    if (name == entry.name) return entry.create(std::move(package), options, progress);
    names += (names.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(Code::kBackend, "backend '" + name + "' is not part of this build: expected one of " + names);
}

}  // namespace mipha
