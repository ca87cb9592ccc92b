// The table of interface.h as C++ owns things: what fails throws, what was taken is given back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/device.h"
#include "backend/tensorrt/interface.h"

namespace mipha::tensorrt {

/// What one input may be in one profile.
struct Range {
  std::string name;
  std::vector<int64_t> least, usual, most;
};

/// mipha_trt_build with its strings.
struct BuildRequest {
  std::string graph, plan;
  std::string timing_cache;             // empty: none
  std::optional<std::string> switches;  // nothing: as the environment has them
  int64_t workspace_bytes = 0;
  int level = 0;
  std::vector<std::vector<Range>> profiles;
};

/// Told what is being done and how far it is, from any thread; true ends the build.
using BuildProgress = std::function<bool(const std::string& what, double fraction)>;

/// One opened library: TensorRT, and the device that its engines run on.
class Library final : public Device {
 public:
  /// Throws kBackend with the words of the library, or of the loader when there is none at `path`.
  explicit Library(const std::string& path);
  ~Library() override;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  /// Of the device, and which TensorRT it is.
  mipha_trt_facts library_facts() const;

  /// Throws kDevice when no engine can be made of the graph, kDisposed when `progress` ended it.
  void build(const BuildRequest& request, const BuildProgress& progress) const;

  DeviceFacts facts() const override;
  void* allocate(size_t bytes, const std::string& what) const override;
  void release(void* memory) const noexcept override;
  void copy_in(void* device, const void* host, size_t bytes) const override;
  void copy_out(void* host, const void* device, size_t bytes) const override;
  void copy_inside(void* to, const void* from, size_t bytes) const override;
  void wait() const override;

  const mipha_trt_table& table() const { return *table_; }
  mipha_trt* handle() const { return trt_; }
  /// Throws unless `status` is MIPHA_TRT_OK: "`what`: words of the library".
  void check(mipha_trt_status status, const std::string& what) const;

 private:
  const mipha_trt_table* table_ = nullptr;
  mipha_trt* trt_ = nullptr;
};

/// One plan, ready to run.
class Engine {
 public:
  /// Throws kModelMissing when there is no such file, kBackend when it is damaged or was built elsewhere.
  Engine(const Library& library, const std::string& plan);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const std::string& name() const { return name_; }  // "language.0", for messages
  int profiles() const;
  const std::vector<mipha_trt_tensor>& tensors() const { return tensors_; }  // as profile 0 has them
  /// Null when it has none of that name.
  const mipha_trt_tensor* find(const std::string& tensor) const;
  size_t scratch_bytes() const;
  int64_t weight_bytes() const;

  void bind_input(int profile, const std::string& tensor, const std::vector<int64_t>& dims, void* device) const;
  void bind_output(int profile, const std::string& tensor, void* device) const;
  void run(int profile, const DeviceBuffer& scratch) const;

 private:
  const Library& library_;
  const std::string name_;
  mipha_trt_engine* engine_ = nullptr;
  std::vector<mipha_trt_tensor> tensors_;
};

}  // namespace mipha::tensorrt
