// The shim over NvInfer, compiled against stubs of two major versions and run on fake libraries.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "backend/tensorrt/interface.h"

namespace {

const mipha_trt_table* shim_of(int major) {
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

std::string open_error(int major, mipha_trt_status expected = MIPHA_TRT_UNAVAILABLE) {
  const mipha_trt_table* const shim = shim_of(major);
  mipha_trt* trt = nullptr;
  char error[1024] = "";
  EXPECT_EQ(shim->open(&trt, error, sizeof error), expected);
  if (trt != nullptr) shim->close(trt);
  return error;
}

bool contains(const std::string& text, const std::string& part) {
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
INSTANTIATE_TEST_SUITE_P(Major, Shim, testing::Values(10, 11));

// ---- opening ----

TEST_P(Shim, TellsWhatItFound) {
  mipha_trt_facts facts;
  ASSERT_EQ(shim->facts(trt, &facts), MIPHA_TRT_OK);
  EXPECT_EQ(shim->version, MIPHA_TRT_VERSION);
  EXPECT_EQ(facts.tensorrt, std::to_string(GetParam()) + ".3.0.30");
  EXPECT_EQ(facts.headers, std::to_string(GetParam()) + ".3.0.26");
  EXPECT_STREQ(facts.gpu, "Orin");
  EXPECT_EQ(facts.compute_capability, 87);
  EXPECT_EQ(facts.integrated, 1);
  EXPECT_EQ(facts.cuda_runtime, (GetParam() + 2) * 1000);
  EXPECT_EQ(facts.cuda_driver, (GetParam() + 2) * 1000 + 20);
  EXPECT_EQ(facts.total_bytes, 1 << 30);
  EXPECT_EQ(facts.free_bytes, facts.total_bytes);
  EXPECT_EQ(error(), "");
}

TEST(ShimOpen, NamesTheLibraryThatIsMissing) {
  EXPECT_TRUE(contains(open_error(14), "libcudart.so.16"));
  EXPECT_TRUE(contains(open_error(13), "libnvinfer.so.13"));
  EXPECT_TRUE(contains(open_error(13), "compiled for TensorRT 13.3.0.26"));
}

TEST(ShimOpen, RefusesAnotherMajorAndAnOlderMinor) {
  {
    const Variable version("FAKE_TENSORRT_VERSION", "11.1.0.106");
    EXPECT_TRUE(contains(open_error(10), "expected TensorRT 10.3.0.26")) << open_error(10);
    EXPECT_TRUE(contains(open_error(10), "received 11.1.0.106"));
    EXPECT_TRUE(contains(open_error(10), "npm rebuild mipha-edge"));
  }
  {
    const Variable version("FAKE_TENSORRT_VERSION", "10.2.9.9");
    EXPECT_TRUE(contains(open_error(10), "received 10.2.9.9"));
  }
  const Variable version("FAKE_TENSORRT_VERSION", "10.16.2.10");
  EXPECT_EQ(open_error(10, MIPHA_TRT_OK), "");
}

TEST(ShimOpen, SaysThatThereIsNoGpu) {
  const Variable devices("FAKE_CUDA_DEVICES", "0");
  EXPECT_TRUE(contains(open_error(11), "no GPU can be used: CUDA says: no CUDA-capable device is detected"));
}

TEST(ShimOpen, CutsWordsToTheBuffer) {
  const mipha_trt_table* const shim = shim_of(14);
  mipha_trt* trt = nullptr;
  char error[8];
  EXPECT_EQ(shim->open(&trt, error, sizeof error), MIPHA_TRT_UNAVAILABLE);
  EXPECT_STREQ(error, "cannot ");
}

// ---- building ----

TEST_P(Shim, BuildsWithWhatItIsTold) {
  what.level = 2;
  what.workspace_bytes = 12345;
  ASSERT_EQ(build(), MIPHA_TRT_OK) << error();
  const std::string text = read(plan);
  EXPECT_TRUE(contains(text, "level 2 workspace 12345 switches none"));
  // Strongly typed: a flag until 11, always from there.
  EXPECT_TRUE(contains(text, GetParam() == 10 ? "# flags 2 " : "# flags 0 "));
  EXPECT_TRUE(contains(text, "profile x 1 4 128 4 256 4"));
  EXPECT_TRUE(contains(text, "profile past 0 4 16 4 64 4"));
}

TEST_P(Shim, SetsTheSwitchesForTheBuildOnly) {
  what.switches = "-peep:fc_h_fusion=off";
  ASSERT_EQ(build(), MIPHA_TRT_OK) << error();
  EXPECT_TRUE(contains(read(plan), "switches -peep:fc_h_fusion=off\n"));
  EXPECT_EQ(std::getenv("__LUNOWUD"), nullptr);

  const Variable before("__LUNOWUD", "theirs");
  ASSERT_EQ(build(std::string(kGraph) + "refuse no\n"), MIPHA_TRT_BUILD);
  EXPECT_STREQ(std::getenv("__LUNOWUD"), "theirs");
  what.switches = nullptr;
  ASSERT_EQ(build(), MIPHA_TRT_OK);
  EXPECT_TRUE(contains(read(plan), "switches theirs\n"));
}

struct Reports {
  std::vector<double> fractions;
  std::vector<std::string> words;
  size_t stop_at = SIZE_MAX;  // index of the report that cancels
  static int take(void* user, double fraction, const char* what) {
    auto& self = *static_cast<Reports*>(user);
    self.fractions.push_back(fraction);
    self.words.push_back(what);
    return self.fractions.size() > self.stop_at ? 1 : 0;
  }
};

TEST_P(Shim, ReportsPhasesAndStepsAsOneFraction) {
  Reports reports;
  ASSERT_EQ(build(kGraph, Reports::take, &reports), MIPHA_TRT_OK) << error();
  EXPECT_TRUE(std::is_sorted(reports.fractions.begin(), reports.fractions.end()));
  EXPECT_EQ(reports.words.front(), "reading the graph");
  EXPECT_EQ(reports.words.back(), "writing the plan");
  // Two steps, the first of which is a phase of four.
  const std::vector<double> expected = {0, 0, 0, 0.125, 0.25, 0.375, 0.5, 0.5, 1, 1};
  EXPECT_EQ(reports.fractions, expected);
}

TEST_P(Shim, EndsWhenTheCallbackSaysSo) {
  Reports all;
  ASSERT_EQ(build(kGraph, Reports::take, &all), MIPHA_TRT_OK);
  std::filesystem::remove(plan);
  for (size_t i = 0; i < all.fractions.size(); ++i) {
    Reports reports;
    reports.stop_at = i;
    EXPECT_EQ(build(kGraph, Reports::take, &reports), MIPHA_TRT_CANCELLED) << "report " << i << ": " << all.words[i];
    EXPECT_TRUE(contains(error(), "cancelled"));
    EXPECT_FALSE(std::filesystem::exists(plan));
  }
}

TEST_P(Shim, TellsWhichNodeTheParserRefused) {
  EXPECT_EQ(build(std::string(kGraph) + "refuse the scale is not positive\n"), MIPHA_TRT_BUILD);
  EXPECT_TRUE(contains(error(), "graph.onnx was refused\nnode 3 layer.0.fc1 (MatMul): the scale is not positive")) << error();
  const std::string absent = at("absent.onnx");
  mipha_trt_build other = what;
  other.graph = absent.c_str();
  other.profile_count = 0;
  EXPECT_EQ(shim->build(trt, &other, nullptr, nullptr), MIPHA_TRT_BUILD);
  EXPECT_TRUE(contains(error(), "Could not open file " + absent)) << error();
}

TEST_P(Shim, CollectsWhatTensorRtSaysOfABuildThatFailed) {
  EXPECT_EQ(build(std::string(kGraph) + "unbuildable Could not infer output types for operation: dequantize\n"), MIPHA_TRT_BUILD);
  // Logged and recorded, but said once; warnings are none of it.
  EXPECT_EQ(error(), at("graph.onnx") + ": no engine could be built:\nError Code 2: Could not infer output types for operation: dequantize");
  EXPECT_FALSE(std::filesystem::exists(plan));

  EXPECT_EQ(build(std::string(kGraph) + "out_of_memory\n"), MIPHA_TRT_MEMORY);
  EXPECT_TRUE(contains(error(), "requested size was 4096 bytes"));
  EXPECT_FALSE(contains(error(), "dequantize")) << "words of an earlier failure";
}

TEST_P(Shim, SaysWhyThereIsNoBuilder) {
  const Variable none("FAKE_TENSORRT_NO_BUILDER", "1");
  EXPECT_EQ(build(), MIPHA_TRT_UNAVAILABLE);
  EXPECT_TRUE(contains(error(), "cannot create a builder:\nError Code 2: libnvinfer_builder_resource.so.10.3.0 cannot be loaded")) << error();
}

TEST_P(Shim, NamesWhatIsWrongWithAProfile) {
  const auto build_range = [&](const mipha_trt_range& range) {
    const std::string path = write("graph.onnx", kGraph);
    const mipha_trt_profile profile = {&range, 1};
    plan = at("engine.plan");
    what.graph = path.c_str();
    what.plan = plan.c_str();
    what.profiles = &profile;
    what.profile_count = 1;
    return shim->build(trt, &what, nullptr, nullptr);
  };
  EXPECT_EQ(build_range({"z", 2, {1, 4}, {1, 4}, {1, 4}}), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "profile 0: the graph has no input z");
  EXPECT_EQ(build_range({"x", 2, {9, 4}, {9, 4}, {1, 4}}), MIPHA_TRT_ARGUMENT);
  EXPECT_TRUE(contains(error(), "profile 0: x: these sizes are not least, usual, most"));
  EXPECT_EQ(build_range({"x", 5, {1}, {1}, {1}}), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "profile 0: x: expected 0 to 4 dimensions, received 5");
  what.level = 6;
  EXPECT_EQ(build(), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "level: expected 0 to 5, received 6");
}

TEST_P(Shim, KeepsTheTimingCache) {
  const std::string cache = at("timing.cache"), head = "timing " + std::to_string(GetParam()) + ".3.0.30 ";
  what.timing_cache = cache.c_str();
  ASSERT_EQ(build(), MIPHA_TRT_OK) << error();
  EXPECT_EQ(read(cache), head + "1");
  ASSERT_EQ(build(), MIPHA_TRT_OK);
  EXPECT_EQ(read(cache), head + "2");
  EXPECT_EQ(build(std::string(kGraph) + "unbuildable no\n"), MIPHA_TRT_BUILD);
  EXPECT_EQ(read(cache), head + "3") << "a build that fails has measured as well";

  write("timing.cache", "timing 9.9.9.9 41");
  ASSERT_EQ(build(), MIPHA_TRT_OK) << error();
  EXPECT_EQ(read(cache), head + "1") << "of another version: begun anew";
  EXPECT_FALSE(std::filesystem::exists(cache + ".part"));
}

TEST_P(Shim, NamesFileAndBytesWhenTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  plan = "/dev/full";
  EXPECT_EQ(build(), MIPHA_TRT_ARGUMENT);
  EXPECT_TRUE(contains(error(), "/dev/full: cannot write ")) << error();
  EXPECT_TRUE(contains(error(), " bytes, 0 were written: No space left on device")) << error();
  plan = at("no/such/folder");
  EXPECT_EQ(build(), MIPHA_TRT_ARGUMENT);
  EXPECT_TRUE(contains(error(), "No such file or directory"));
}

TEST(ShimBuild, NamesTheParserWhenItIsMissing) {
  const mipha_trt_table* const shim = shim_of(12);
  mipha_trt* trt = nullptr;
  char error[1024] = "";
  ASSERT_EQ(shim->open(&trt, error, sizeof error), MIPHA_TRT_OK) << error;
  const mipha_trt_build what = {"graph.onnx", "plan", nullptr, nullptr, 1, 3, nullptr, 0};
  EXPECT_EQ(shim->build(trt, &what, nullptr, nullptr), MIPHA_TRT_UNAVAILABLE);
  EXPECT_TRUE(contains(shim->error(trt), "libnvonnxparser.so.12")) << shim->error(trt);
  EXPECT_TRUE(contains(shim->error(trt), "libnvonnxparsers12")) << shim->error(trt);
  shim->close(trt);
}

// ---- engines ----

TEST_P(Shim, DescribesInputsFirstWithTheRangesOfAProfile) {
  mipha_trt_engine* const engine = build_and_load();
  EXPECT_EQ(shim->profiles(engine), 2);
  EXPECT_EQ(shim->scratch_bytes(engine), 4096);
  EXPECT_EQ(shim->weight_bytes(engine), static_cast<int64_t>(std::filesystem::file_size(plan)));
  mipha_trt_tensor tensor;
  ASSERT_EQ(shim->describe(engine, 0, 0, &tensor), MIPHA_TRT_OK);
  EXPECT_STREQ(tensor.name, "x");
  EXPECT_EQ(tensor.input, 1);
  EXPECT_EQ(tensor.type, MIPHA_TRT_F32);
  EXPECT_EQ(tensor.dims, 2);
  EXPECT_EQ(tensor.least[0], 1);
  EXPECT_EQ(tensor.most[0], 256);
  EXPECT_EQ(tensor.most[1], 4);
  ASSERT_EQ(shim->describe(engine, 1, 0, &tensor), MIPHA_TRT_OK);
  EXPECT_EQ(tensor.most[0], 8);
  ASSERT_EQ(shim->describe(engine, 1, 2, &tensor), MIPHA_TRT_OK);
  EXPECT_STREQ(tensor.name, "y");
  EXPECT_EQ(tensor.input, 0);
  EXPECT_EQ(tensor.least[0], -1);
  EXPECT_EQ(tensor.most[0], -1);
  EXPECT_EQ(tensor.most[1], 4);
  EXPECT_EQ(shim->describe(engine, 1, 3, &tensor), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "tensor: expected 0 to 2, received 3");
  EXPECT_EQ(shim->describe(engine, 2, 0, &tensor), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "profile: expected 0 to 1, received 2");
  shim->unload(engine);
}

TEST_P(Shim, DescribesAStaticEngineThatHasNoRanges) {
  const std::string path = write("static.onnx", "input pixels f32 1 3 8 8\noutput features f32 9 4\n");
  plan = at("static.plan");
  what.graph = path.c_str();
  what.plan = plan.c_str();
  ASSERT_EQ(shim->build(trt, &what, nullptr, nullptr), MIPHA_TRT_OK) << error();
  mipha_trt_engine* const engine = load(read(plan));
  mipha_trt_tensor tensor;
  ASSERT_EQ(shim->profiles(engine), 1);
  ASSERT_EQ(shim->describe(engine, 0, 0, &tensor), MIPHA_TRT_OK);
  EXPECT_EQ(std::vector<int64_t>(tensor.least, tensor.least + 4), (std::vector<int64_t>{1, 3, 8, 8}));
  EXPECT_EQ(std::vector<int64_t>(tensor.most, tensor.most + 4), (std::vector<int64_t>{1, 3, 8, 8}));
  shim->unload(engine);
}

TEST_P(Shim, RefusesPlansThatAreNotWholeOrForeign) {
  ASSERT_EQ(build(), MIPHA_TRT_OK);
  const std::string whole = read(plan);
  mipha_trt_engine* engine = nullptr;
  EXPECT_EQ(shim->load(trt, whole.data(), whole.size() / 2, &engine), MIPHA_TRT_PLAN);
  EXPECT_TRUE(contains(error(), "cannot load this plan of " + std::to_string(whole.size() / 2) + " bytes:\nError Code 2: the plan ends too early"))
      << error();
  EXPECT_EQ(shim->load(trt, whole.data(), 0, &engine), MIPHA_TRT_PLAN);
  const Variable version("FAKE_TENSORRT_VERSION", "10.9.0.1");
  EXPECT_EQ(shim->load(trt, whole.data(), whole.size(), &engine), MIPHA_TRT_PLAN);
  EXPECT_TRUE(contains(error(), "built by another version"));
  EXPECT_EQ(engine, nullptr);
}

TEST_P(Shim, RefusesTensorsThatTheInterfaceCannotDescribe) {
  mipha_trt_engine* engine = nullptr;
  const auto load_graph = [&](const std::string& graph) {
    const std::string bytes = "fake plan " + std::to_string(GetParam()) + ".3.0.30\n" + graph + "\nend_of_plan\n";
    return shim->load(trt, bytes.data(), bytes.size(), &engine);
  };
  EXPECT_EQ(load_graph("input x bool 4"), MIPHA_TRT_PLAN);
  EXPECT_TRUE(contains(error(), "x: expected F32, F16, I32 or I8"));
  EXPECT_EQ(load_graph("input x f32 1 1 1 1 1"), MIPHA_TRT_PLAN);
  EXPECT_TRUE(contains(error(), "x: too many dimensions, [1, 1, 1, 1, 1]"));
  EXPECT_EQ(load_graph("input " + std::string(64, 'n') + " f32 1"), MIPHA_TRT_PLAN);
  EXPECT_TRUE(contains(error(), "too long"));
}

TEST_P(Shim, RunsOverMemoryOfTheDevice) {
  mipha_trt_engine* const engine = build_and_load();
  void *x, *y, *scratch;
  ASSERT_EQ(shim->allocate(trt, 3 * 4 * 4, &x), MIPHA_TRT_OK);
  ASSERT_EQ(shim->allocate(trt, 3 * 4 * 4, &y), MIPHA_TRT_OK);
  ASSERT_EQ(shim->allocate(trt, 4096, &scratch), MIPHA_TRT_OK);
  std::vector<float> numbers = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, answers(12), zeros(12, 9);
  ASSERT_EQ(shim->copy(trt, zeros.data(), y, 48, MIPHA_TRT_FROM_DEVICE), MIPHA_TRT_OK);
  EXPECT_EQ(zeros, std::vector<float>(12, 0)) << "allocate() clears";
  ASSERT_EQ(shim->copy(trt, x, numbers.data(), 48, MIPHA_TRT_TO_DEVICE), MIPHA_TRT_OK);

  const int64_t three[] = {3, 4}, none[] = {0, 4};
  for (int32_t profile : {0, 1}) {
    ASSERT_EQ(shim->bind(engine, profile, "x", three, 2, x), MIPHA_TRT_OK) << error();
    ASSERT_EQ(shim->bind(engine, profile, "past", none, 2, nullptr), MIPHA_TRT_OK) << error();
    EXPECT_EQ(shim->run(engine, profile, scratch, 4096), MIPHA_TRT_ARGUMENT);
    EXPECT_EQ(error(), "y is not bound in profile " + std::to_string(profile));
    ASSERT_EQ(shim->bind(engine, profile, "y", nullptr, 0, y), MIPHA_TRT_OK) << error();
    ASSERT_EQ(shim->run(engine, profile, scratch, 4096 >> profile), MIPHA_TRT_OK) << error();
    ASSERT_EQ(shim->copy(trt, answers.data(), y, 48, MIPHA_TRT_FROM_DEVICE), MIPHA_TRT_OK);
    ASSERT_EQ(shim->wait(trt), MIPHA_TRT_OK);
    for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(answers[i], 2 * numbers[i]);
    ASSERT_EQ(shim->copy(trt, x, y, 48, MIPHA_TRT_ON_DEVICE), MIPHA_TRT_OK);
    numbers = answers;
  }
  // Too little memory for activations in one profile, enough in the other.
  EXPECT_EQ(shim->run(engine, 0, scratch, 2048), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "scratch: expected 4096 bytes for profile 0, received 2048");
  shim->unload(engine);
  for (void* memory : {x, y, scratch}) shim->release(trt, memory);
  mipha_trt_facts facts;
  ASSERT_EQ(shim->facts(trt, &facts), MIPHA_TRT_OK);
  EXPECT_EQ(facts.free_bytes, facts.total_bytes) << "everything was given back";
}

TEST_P(Shim, GivesEmptyTensorsAnAddressOfTheirOwn) {
  // The end of an empty past is where the new rows begin: two tensors with one address, which TensorRT does not allow.
  const std::string graph = "input x f32 -1 4\ninput past f32 -1 4\noutput y f32 -1 4\n";
  mipha_trt_engine* const engine = build_and_load(graph);
  void *x, *y, *scratch;
  for (void** memory : {&x, &y, &scratch}) ASSERT_EQ(shim->allocate(trt, 4096, memory), MIPHA_TRT_OK);
  const int64_t one[] = {1, 4}, none[] = {0, 4};
  ASSERT_EQ(shim->bind(engine, 0, "x", one, 2, x), MIPHA_TRT_OK);
  ASSERT_EQ(shim->bind(engine, 0, "past", none, 2, y), MIPHA_TRT_OK);
  ASSERT_EQ(shim->bind(engine, 0, "y", nullptr, 0, y), MIPHA_TRT_OK);
  EXPECT_EQ(shim->run(engine, 0, scratch, 4096), MIPHA_TRT_OK) << error();

  // An output may be nowhere as long as it is empty.
  ASSERT_EQ(shim->bind(engine, 0, "y", nullptr, 0, nullptr), MIPHA_TRT_OK);
  EXPECT_EQ(shim->run(engine, 0, scratch, 4096), MIPHA_TRT_ARGUMENT);
  EXPECT_EQ(error(), "y: [1, 4] needs an address");
  shim->unload(engine);
  for (void* memory : {x, y, scratch}) shim->release(trt, memory);
}

TEST_P(Shim, RefusesShapesAndAddressesThatDoNotFit) {
  mipha_trt_engine* const engine = build_and_load();
  void* x = nullptr;
  ASSERT_EQ(shim->allocate(trt, 4096, &x), MIPHA_TRT_OK);
  const auto refused = [&](const char* name, std::vector<int64_t> dims, void* device) {
    EXPECT_EQ(shim->bind(engine, 1, name, dims.empty() ? nullptr : dims.data(), static_cast<int32_t>(dims.size()), device), MIPHA_TRT_ARGUMENT);
    return error();
  };
  EXPECT_EQ(refused("x", {9, 4}, x), "x: expected [1, 4] to [8, 4] in profile 1, received [9, 4]");
  EXPECT_EQ(refused("x", {0, 4}, nullptr), "x: expected [1, 4] to [8, 4] in profile 1, received [0, 4]");
  EXPECT_EQ(refused("x", {4}, x), "x: expected [1, 4] to [8, 4] in profile 1, received [4]");
  EXPECT_EQ(refused("x", {1, 1, 1, 1, 4}, x), "x: too many dimensions, 5");
  EXPECT_EQ(refused("x", {1, 4}, nullptr), "x: [1, 4] needs an address");
  EXPECT_EQ(refused("x", {1, 4}, static_cast<char*>(x) + 16), "x: expected an address aligned to 256 bytes");
  EXPECT_EQ(refused("x", {}, x), "x: an input needs its shape");
  EXPECT_EQ(refused("y", {1, 4}, x), "y: an output gets its shape from the inputs");
  EXPECT_EQ(refused("z", {1, 4}, x), "z: the engine has no such tensor");
  shim->unload(engine);
  shim->release(trt, x);
}

TEST_P(Shim, SaysWhatFailedWhileRunning) {
  mipha_trt_engine* const engine = build_and_load(std::string(kGraph) + "unrunnable misaligned address\n");
  void *x, *y, *scratch;
  for (void** memory : {&x, &y, &scratch}) ASSERT_EQ(shim->allocate(trt, 4096, memory), MIPHA_TRT_OK);
  const int64_t one[] = {1, 4}, none[] = {0, 4};
  ASSERT_EQ(shim->bind(engine, 0, "x", one, 2, x), MIPHA_TRT_OK);
  ASSERT_EQ(shim->bind(engine, 0, "past", none, 2, nullptr), MIPHA_TRT_OK);
  ASSERT_EQ(shim->bind(engine, 0, "y", nullptr, 0, y), MIPHA_TRT_OK);
  EXPECT_EQ(shim->run(engine, 0, scratch, 4096), MIPHA_TRT_DEVICE);
  EXPECT_EQ(error(), "profile 0: TensorRT cannot run:\nError Code 2: misaligned address");
  shim->unload(engine);
  for (void* memory : {x, y, scratch}) shim->release(trt, memory);

  const Variable broken("FAKE_CUDA_BROKEN", "1");
  EXPECT_EQ(shim->wait(trt), MIPHA_TRT_DEVICE);
  EXPECT_EQ(error(), "the GPU failed: CUDA says: an illegal memory access was encountered");
}

TEST_P(Shim, TellsHowMuchMemoryThereIs) {
  const Variable total("FAKE_CUDA_TOTAL", "1000000");
  void* memory = nullptr;
  EXPECT_EQ(shim->allocate(trt, 2000000, &memory), MIPHA_TRT_MEMORY);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(error(), "cannot allocate 2000000 bytes on the GPU, 1000000 of 1000000 are free: CUDA says: out of memory");
  ASSERT_EQ(shim->allocate(trt, 0, &memory), MIPHA_TRT_OK);
  EXPECT_NE(memory, nullptr);
  shim->release(trt, memory);
  shim->release(trt, nullptr);
}

TEST_P(Shim, LetsNoExceptionOut) {
  mipha_trt_engine* engine = nullptr;
  {
    const Variable thrown("FAKE_TENSORRT_THROW", "bad_alloc");
    EXPECT_EQ(shim->load(trt, "plan", 4, &engine), MIPHA_TRT_MEMORY);
    EXPECT_EQ(error(), "not enough memory on the CPU");
  }
  const Variable thrown("FAKE_TENSORRT_THROW", "other");
  EXPECT_EQ(shim->load(trt, "plan", 4, &engine), MIPHA_TRT_DEVICE);
  EXPECT_EQ(error(), "unknown exception");
}

}  // namespace
