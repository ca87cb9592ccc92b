#include "backend/tensorrt/shim_progress.h"

#include <algorithm>

namespace mipha::trt {

void Progress::report(const char* what) noexcept {
  double reached;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, phase] : phases_) {
      if (phase.parent.empty()) reached_ = std::max(reached_, fraction(name));
    }
    reached = reached_;
  }
  if (callback_ != nullptr && callback_(user_, reached, what) != 0) cancelled_ = true;
}

double Progress::fraction(const std::string& name) const {
  double inside = 0;  // of the step under way
  for (const auto& [child, phase] : phases_) {
    if (phase.parent == name) inside = std::max(inside, fraction(child));
  }
  const Phase& phase = phases_.at(name);
  return std::min(1.0, (phase.done + inside) / std::max(phase.steps, 1));
}

void Progress::phaseStart(const char* name, const char* parent, int32_t steps) noexcept try {
  {
    const std::lock_guard lock(mutex_);
    const bool known = parent != nullptr && phases_.count(parent) != 0;
    phases_[name] = {known ? parent : "", steps, 0};
  }
  report(name);
} catch (...) {  // no memory: only the bar suffers
}

bool Progress::stepComplete(const char* name, int32_t step) noexcept {
  {
    const std::lock_guard lock(mutex_);
    const auto phase = phases_.find(name);
    if (phase != phases_.end()) phase->second.done = std::max(phase->second.done, step + 1);
  }
  report(name);
  return !cancelled_;
}

void Progress::phaseFinish(const char* name) noexcept {
  const std::lock_guard lock(mutex_);
  phases_.erase(name);
}

}  // namespace mipha::trt
