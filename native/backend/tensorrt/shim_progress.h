// How far a build is, out of TensorRT's tree of phases.
#pragma once

#include <NvInfer.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "backend/tensorrt/interface.h"

namespace mipha::trt {

/// TensorRT names a phase, its parent and its number of steps when it starts it, in threads of its own. The fraction of a phase is its steps done
/// plus the fraction of the phase inside the step under way; what is reported is the largest that any outermost phase has reached.
class Progress final : public nvinfer1::IProgressMonitor {
 public:
  Progress(mipha_trt_progress callback, void* user) : callback_(callback), user_(user) {}

  bool cancelled() const { return cancelled_; }
  void report(const char* what) noexcept;

  void phaseStart(const char* name, const char* parent, int32_t steps) noexcept override;
  bool stepComplete(const char* name, int32_t step) noexcept override;  // false: TensorRT ends the build
  void phaseFinish(const char* name) noexcept override;

 private:
  struct Phase {
    std::string parent;
    int32_t steps, done;
  };
  double fraction(const std::string& name) const;

  const mipha_trt_progress callback_;
  void* const user_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::map<std::string, Phase> phases_;
  double reached_ = 0;
};

}  // namespace mipha::trt
