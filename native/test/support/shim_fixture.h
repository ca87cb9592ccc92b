// The shim over NvInfer as its tests open it: compiled against stubs of two major versions and run on fake libraries.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "backend/tensorrt/interface.h"

namespace mipha {

inline const mipha_trt_table* shim_of(int major) {
  const std::string path = std::string(MIPHA_SHIMS) + "/mipha_tensorrt_" + std::to_string(major) + ".so";
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);  // RTLD_NOW: no undefined symbol of TensorRT or CUDA
  if (library == nullptr) return ADD_FAILURE() << dlerror(), nullptr;
  return reinterpret_cast<const mipha_trt_table* (*)()>(dlsym(library, "mipha_trt_interface"))();
}

/// A variable of the environment for the time of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// An open device of one major version, a folder, and what most tests build.
class Shim : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "mipha-shim-XXXXXX").string();
    folder = mkdtemp(pattern.data());
    shim = shim_of(GetParam());
    char error[1024] = "";
    ASSERT_EQ(shim->open(&trt, error, sizeof error), MIPHA_TRT_OK) << error;
  }
  void TearDown() override {
    if (trt != nullptr) shim->close(trt);
    std::filesystem::remove_all(folder);
  }

  std::string at(const std::string& name) const { return folder + "/" + name; }
  std::string error() const { return shim->error(trt); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(at(name), std::ios::binary) << text;
    return at(name);
  }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static constexpr const char* kGraph = "output y f32 -1 4\ninput x f32 -1 4\ninput past f32 -1 4\n";

  /// Two profiles: x of 1 to 256 rows, then of 1 to 8; past of 0 to 64 rows in both.
  mipha_trt_status build(const std::string& graph = kGraph, mipha_trt_progress progress = nullptr, void* user = nullptr) {
    const std::string path = write("graph.onnx", graph);
    const mipha_trt_range past = {"past", 2, {0, 4}, {16, 4}, {64, 4}};
    const mipha_trt_range prefill[] = {{"x", 2, {1, 4}, {128, 4}, {256, 4}}, past}, decode[] = {{"x", 2, {1, 4}, {1, 4}, {8, 4}}, past};
    const mipha_trt_profile profiles[] = {{prefill, 2}, {decode, 2}};
    what.graph = path.c_str();
    if (plan.empty()) plan = at("engine.plan");
    what.plan = plan.c_str();
    what.profiles = profiles;
    what.profile_count = 2;
    return shim->build(trt, &what, progress, user);
  }

  mipha_trt_engine* load(const std::string& bytes) {
    mipha_trt_engine* engine = nullptr;
    EXPECT_EQ(shim->load(trt, bytes.data(), bytes.size(), &engine), MIPHA_TRT_OK) << error();
    return engine;
  }
  mipha_trt_engine* build_and_load(const std::string& graph = kGraph) {
    EXPECT_EQ(build(graph), MIPHA_TRT_OK) << error();
    return load(read(plan));
  }

  std::string folder, plan;
  const mipha_trt_table* shim = nullptr;
  mipha_trt* trt = nullptr;
  mipha_trt_build what = {nullptr, nullptr, nullptr, nullptr, 1 << 20, 3, nullptr, 0};
};

}  // namespace mipha
