// The shim over NvInfer: plans in memory, tensors bound by name, memory of the device.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "test/support/shim_fixture.h"

namespace mipha {
namespace {

INSTANTIATE_TEST_SUITE_P(Major, Shim, testing::Values(10, 11));

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
}  // namespace mipha
