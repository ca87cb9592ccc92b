// The table of interface.h as C++ owns things: what fails throws.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/interface.h"

namespace mipha::cuda {

/// MIPHA_CUDA, or mipha_cuda.so beside the addon. It need not be there.
std::string default_library();

/// Opened once and never closed: the CUDA runtime does not survive being unloaded.
class Library {
 public:
  /// Throws kBackend with the words of the loader, or when it was built from other sources.
  explicit Library(const std::string& path);

  Facts facts() const;
  const Table& table() const { return table_; }

 private:
  const Table& table_;
};

/// Throws what a call of the table returned: "CUDA: …".
void check(Status status, const Failure& failure);

/// Calls back from the library, across which nothing may be thrown: what a callback throws ends the call and is thrown behind it.
class Callbacks {
 public:
  Cancelled cancelled;
  Progress progress;
  Probe probe;
  std::function<void(const void* data, size_t bytes)> release;

  static int ask(void* self);
  static int told(void* self, const char* stage, double fraction);
  static void released(void* self, const void* data, size_t bytes);
  static void seen(void* self, const char* name, const float* data, int32_t rows, int32_t columns);

  /// Throws what was kept.
  void rethrow();

 private:
  template <class Body>
  int kept(Body&& body);

  std::exception_ptr thrown_;
};

}  // namespace mipha::cuda
