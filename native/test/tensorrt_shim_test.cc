// The shim over NvInfer: which libraries it takes, what it builds, what it says of failures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "test/support/shim_fixture.h"

namespace mipha {
namespace {

INSTANTIATE_TEST_SUITE_P(Major, Shim, testing::Values(10, 11));

// ---- opening ----

std::string open_error(int major, mipha_trt_status expected = MIPHA_TRT_UNAVAILABLE) {
  const mipha_trt_table* const shim = shim_of(major);
  mipha_trt* trt = nullptr;
  char error[1024] = "";
  EXPECT_EQ(shim->open(&trt, error, sizeof error), expected);
  if (trt != nullptr) shim->close(trt);
  return error;
}

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
  EXPECT_TRUE(contains(error(), "graph.onnx was refused\nnode 3 layer.0.up (MatMul): the scale is not positive")) << error();
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
  EXPECT_EQ(build(), MIPHA_TRT_FILE);
  EXPECT_TRUE(contains(error(), "/dev/full: cannot write ")) << error();
  EXPECT_TRUE(contains(error(), " bytes, 0 were written: No space left on device")) << error();
  plan = at("no/such/folder");
  EXPECT_EQ(build(), MIPHA_TRT_FILE);
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

}  // namespace
}  // namespace mipha
