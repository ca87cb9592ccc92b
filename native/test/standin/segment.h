// A plan as stages that can run: the tower, or layers of the language model.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "core/thread_pool.h"
#include "model/stages.h"
#include "test/standin/plan.h"

namespace mipha::standin {

/// A bound tensor: where it is, and its sizes of this run.
struct Binding {
  void* data = nullptr;
  std::vector<int64_t> dims;
};
using Bindings = std::map<std::string, Binding>;

class Segment {
 public:
  /// Throws when the plan's manifest, calibration or weights do not fit together.
  Segment(Plan plan, ThreadPool& pool);

  const Plan& plan() const { return plan_; }
  int64_t weight_bytes() const { return weight_bytes_; }
  void run(const Bindings& bindings) const;

 private:
  void run_vision(const Bindings& bindings) const;
  void run_language(const Bindings& bindings) const;
  void write(const Binding& to, const Floats& values) const;

  const Plan plan_;
  std::map<std::string, float> scales_;  // of the inputs that are quantized, by matrix
  std::unique_ptr<const Stages> stages_;
  int first_ = 0, end_ = 0;
  bool vision_ = false;
  int64_t weight_bytes_ = 0;
  Tap tap_;
};

}  // namespace mipha::standin
