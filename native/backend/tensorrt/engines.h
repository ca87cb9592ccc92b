// The engines of a package in the order they run, loaded and checked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/tensorrt/language_engine.h"
#include "backend/tensorrt/library.h"

namespace mipha::tensorrt {

class Engines {
 public:
  /// `plans`: folder of vision.plan, language.0.plan, … Each is compared with the stored tensors of `package` before the next is loaded.
  Engines(const Library& library, const std::string& plans, const Package& package, const Progress& progress);

  const Engine& vision() const { return *vision_; }
  const std::vector<LanguageEngine>& language() const { return language_; }

  int max_rows() const;          // new rows that one run through all of them can have
  int cache_rows() const;        // past rows
  size_t scratch_bytes() const;  // enough for any of them
  int64_t weight_bytes() const;

 private:
  std::shared_ptr<const Engine> vision_;
  std::vector<LanguageEngine> language_;
};

}  // namespace mipha::tensorrt
