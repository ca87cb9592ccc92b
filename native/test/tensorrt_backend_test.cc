// The TensorRT backend on the stand-in against the FP32 reference on the same weights, and against itself: forked, batched, chunked, cancelled,
// moved. Inputs are not quantized here, so that only the FP16 of keys and values lies between the two.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

#include "backend/tensorrt/check.h"
#include "core/error.h"
#include "model/reference.h"
#include "support/tensorrt_fixture.h"

namespace mipha {
namespace {

constexpr int kImageTokens = 9;

std::vector<uint8_t> picture(int seed) {
  std::vector<uint8_t> pixels(size_t{42} * 42 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>((i * 37 + static_cast<size_t>(seed) * 91) % 251);
  return pixels;
}

std::vector<int32_t> token_ids(int count, int first = 0) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((first + 7 * i) % 90);
  return ids;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    difference += std::pow(static_cast<double>(x[i]) - y[i], 2);
    size += std::pow(static_cast<double>(y[i]), 2);
  }
  return x.size() == y.size() ? std::sqrt(difference / size) : INFINITY;
}

/// Three layers read keys and values of 11 bits; an order of additions that is another changes less.
const double kHalfBound = 3 * std::ldexp(1.0, -11);

class TensorRtBackend : public testing::Test {
 protected:
  ~TensorRtBackend() override {
    for (const char* name : {"MIPHA_STANDIN_MEMORY", "MIPHA_STANDIN_RUNS", "MIPHA_STANDIN_GPU"}) unsetenv(name);
  }

  void load(int cache_tokens = 0) {
    backend = folder.load(cache_tokens);
    vocab = backend->config().language.vocab;
  }
  void encode(int seed) {
    const std::vector<uint8_t> pixels = picture(seed);
    ASSERT_TRUE(backend->encode({pixels.data(), pixels.size(), 42, 42, 126, PixelFormat::kRgb}, {}, nullptr));
  }
  std::vector<float> append(int sequence, const std::vector<Piece>& pieces) {
    std::vector<float> logits(vocab);
    EXPECT_TRUE(backend->append(sequence, pieces, logits.data(), {}));
    return logits;
  }
  std::vector<float> append(int sequence, const std::vector<int32_t>& ids) { return append(sequence, {{ids.data(), static_cast<int>(ids.size())}}); }

  /// Logits of the last row in the FP32 reference. `seed` −1: no picture.
  std::vector<float> expected(const std::vector<int32_t>& before, int seed, const std::vector<int32_t>& after, const Probe& probe = {}) const {
    Reference reference(folder.model.config(), folder.model.weights());
    std::vector<float> rows;
    const auto add = [&](const std::vector<float>& values) { rows.insert(rows.end(), values.begin(), values.end()); };
    for (int32_t id : before) add(reference.embed(id));
    if (seed >= 0) add(reference.encode(picture(seed).data(), probe));
    for (int32_t id : after) add(reference.embed(id));
    const std::vector<float> logits = reference.append(rows, probe);
    return {logits.end() - vocab, logits.end()};
  }

  Error refusal() const {
    try {
      folder.load();
    } catch (const Error& error) {
      return error;
    }
    return Error(Code::kInternal, "accepted");
  }

  const test::EngineFolder folder;
  std::unique_ptr<Backend> backend;
  int vocab = 0;
};

TEST_F(TensorRtBackend, ComputesWhatTheReferenceComputes) {
  load();
  EXPECT_EQ(backend->name(), "tensorrt");
  EXPECT_EQ(backend->detail(), "TensorRT 10.3.0.30, Orin, 2 segments");
  std::map<std::string, std::vector<float>> here, there;
  const auto into = [](auto& layers) {
    return [&layers](const std::string& name, const float* data, int rows, int columns) {
      layers[name].assign(data, data + static_cast<size_t>(rows) * columns);
    };
  };
  backend->set_probe(into(here));
  encode(1);
  const std::vector<int32_t> before = token_ids(5), after = token_ids(11, 3);
  const int sequence = backend->sequence();
  const std::vector<float> logits = append(sequence, {{before.data(), 5}, {nullptr, kImageTokens}, {after.data(), 11}});
  EXPECT_LE(relative_error(logits, expected(before, 1, after, into(there))), kHalfBound);
  ASSERT_EQ(here.size(), 3u);  // features and the boundaries of the engines
  for (const auto& [name, values] : here) EXPECT_LE(relative_error(values, there.at(name)), kHalfBound) << name;

  backend->set_probe({});
  std::vector<int32_t> all = after;
  for (int32_t id : {17, 4, 88}) {
    all.push_back(id);
    std::vector<float> next(vocab);
    backend->step(&sequence, &id, 1, next.data());
    EXPECT_LE(relative_error(next, expected(before, 1, all)), kHalfBound);
  }
  EXPECT_EQ(backend->length(sequence), 28);
}

TEST_F(TensorRtBackend, MemoryIsWhatTheDeviceHolds) {
  load(100);
  int64_t cache = 0;
  for (const auto& [name, bytes] : backend->memory().parts) cache = name == "cache" ? bytes : cache;
  EXPECT_EQ(cache, 3 * 2 * (100 + 3) * 320);
  EXPECT_EQ(backend->room(backend->sequence()), 100);
}

TEST_F(TensorRtBackend, PicturesForksAndQuestionsInOneRun) {
  load();
  std::vector<int> views;
  for (int seed : {1, 2}) {
    encode(seed);
    views.push_back(backend->sequence());
    append(views.back(), {{token_ids(3, seed).data(), 3}, {nullptr, kImageTokens}});
  }
  // Lengths on both sides of the decode profile, more rows than one run has, more answers than one run gives.
  const int lengths[] = {1, 12, 1, 30, 2, 5, 9, 1, 20, 3};
  std::vector<std::vector<int32_t>> questions;
  std::vector<Extension> together;
  for (int length : lengths) {
    const size_t i = questions.size();
    questions.push_back(token_ids(length, static_cast<int>(i)));
    together.push_back({backend->fork(views[i % 2]), {}});
  }
  for (size_t i = 0; i < together.size(); ++i) together[i].pieces = {{questions[i].data(), lengths[i]}};
  std::vector<float> logits(together.size() * vocab);
  ASSERT_TRUE(backend->append(together, logits.data(), {}));
  for (size_t i = 0; i < together.size(); ++i) {
    const int seed = 1 + static_cast<int>(i % 2);
    const std::vector<float> got(logits.begin() + i * vocab, logits.begin() + (i + 1) * vocab);
    EXPECT_LE(relative_error(got, expected(token_ids(3, seed), seed, questions[i])), kHalfBound) << i;
    EXPECT_EQ(backend->length(together[i].sequence), 12 + lengths[i]);
  }

  int sequences[Backend::kMaxBatch];
  int32_t ids[Backend::kMaxBatch];
  for (int i = 0; i < Backend::kMaxBatch; ++i) {
    sequences[i] = together[i].sequence;
    ids[i] = 11 * i;
    questions[i].push_back(ids[i]);
  }
  std::vector<float> next(Backend::kMaxBatch * vocab);
  backend->step(sequences, ids, Backend::kMaxBatch, next.data());
  for (int i = 0; i < Backend::kMaxBatch; ++i) {
    const int seed = 1 + i % 2;
    const std::vector<float> got(next.begin() + i * vocab, next.begin() + (i + 1) * vocab);
    EXPECT_LE(relative_error(got, expected(token_ids(3, seed), seed, questions[i])), kHalfBound) << i;
  }
}

TEST_F(TensorRtBackend, ChunksOfFeaturesAreTheSameRows) {
  load();
  encode(3);
  const int sequence = backend->sequence();
  ASSERT_TRUE(backend->append(sequence, {{nullptr, 4, 0}}, nullptr, {}));
  ASSERT_TRUE(backend->append(sequence, {{nullptr, 5, 4}}, nullptr, {}));
  EXPECT_LE(relative_error(append(sequence, token_ids(70)), expected({}, 3, token_ids(70))), kHalfBound);
}

TEST_F(TensorRtBackend, RowsMoveDownAndKeepTheirMeaning) {
  load(70);
  encode(1);
  const int view = backend->sequence();
  append(view, {{token_ids(3).data(), 3}, {nullptr, kImageTokens}});
  for (int round = 0; round < 4; ++round) {
    const int a = backend->fork(view), b = backend->fork(view);
    append(a, token_ids(20, round));
    append(b, token_ids(22, 2 * round));
    backend->release(a);
    std::vector<int32_t> ids = token_ids(22, 2 * round);
    const std::vector<int32_t> more = token_ids(20, 60 + round);  // does not fit behind b: b moves to where a was
    ids.insert(ids.end(), more.begin(), more.end());
    EXPECT_LE(relative_error(append(b, more), expected(token_ids(3), 1, ids)), kHalfBound) << round;
    backend->release(b);
  }
}

TEST_F(TensorRtBackend, TruncateAndGoOn) {
  load();
  const int sequence = backend->sequence();
  append(sequence, token_ids(20));
  backend->truncate(sequence, 7);
  std::vector<int32_t> ids = token_ids(7);
  for (int32_t id : token_ids(9, 50)) ids.push_back(id);
  EXPECT_LE(relative_error(append(sequence, token_ids(9, 50)), expected(ids, -1, {})), kHalfBound);
}

TEST_F(TensorRtBackend, ACancelledCallLeavesEverySequenceAsItWas) {
  load(150);
  const int a = backend->sequence(), b = backend->sequence();
  append(a, token_ids(10));
  ASSERT_TRUE(backend->reserve(a, 60));
  const int room = backend->room(b);
  const std::vector<int32_t> more = token_ids(50, 4), other = token_ids(30, 1);
  for (int calls = 0; calls < 6; ++calls) {  // three runs of two engines
    int left = calls;
    EXPECT_FALSE(backend->append({{a, {{more.data(), 50}}}, {b, {{other.data(), 30}}}}, nullptr, [&] { return left-- == 0; })) << calls;
    EXPECT_EQ(backend->length(a), 10);
    EXPECT_EQ(backend->length(b), 0);
    EXPECT_EQ(backend->room(b), room) << "what was promised to the other stays promised";
  }
  std::vector<int32_t> ids = token_ids(10);
  ids.insert(ids.end(), more.begin(), more.end());
  EXPECT_LE(relative_error(append(a, more), expected(ids, -1, {})), kHalfBound);
}

TEST_F(TensorRtBackend, ACancelledPictureKeepsTheOneBefore) {
  load();
  encode(1);
  const std::vector<uint8_t> pixels = picture(2);
  EXPECT_FALSE(backend->encode(
      {pixels.data(), pixels.size(), 42, 42, 126, PixelFormat::kRgb}, [] { return true; }, nullptr));
  EXPECT_LE(relative_error(append(backend->sequence(), {{nullptr, kImageTokens}}), expected({}, 1, {})), kHalfBound);
}

TEST_F(TensorRtBackend, WhatDoesNotFitIsRefusedBeforeAnythingIsTouched) {
  load(60);
  const int a = backend->sequence(), b = backend->sequence();
  const std::vector<int32_t> ids = token_ids(161);
  const auto code = [&](const std::vector<Extension>& extensions) {
    try {
      backend->append(extensions, nullptr, {});
    } catch (const Error& error) {
      return error.code;
    }
    return Code::kInternal;
  };
  EXPECT_EQ(code({{a, {{ids.data(), 161}}}}), Code::kContextFull);
  EXPECT_EQ(code({{a, {{ids.data(), 40}}}, {b, {{ids.data(), 21}}}}), Code::kMemory);
  EXPECT_EQ(backend->length(a), 0);
  EXPECT_EQ(backend->room(a), 60);
  append(a, token_ids(60));
  EXPECT_EQ(backend->room(b), 0);
}

TEST_F(TensorRtBackend, AFailingDeviceIsADeviceErrorAndLosesNoRows) {
  load();
  const int sequence = backend->sequence();
  append(sequence, token_ids(10));
  setenv("MIPHA_STANDIN_RUNS", "0", 1);
  try {
    append(sequence, token_ids(10));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kDevice);
  }
  EXPECT_EQ(backend->length(sequence), 10);
}

TEST_F(TensorRtBackend, AnEngineThatComputesSomethingElseIsNotUsed) {
  const std::pair<const char*, const char*> engines[] = {{"vision", "vision"}, {"language.0", "language 0 2"}, {"language.1", "language 2 3"}};
  for (const auto& [name, graph] : engines) {
    folder.write_plan(name, graph, true);
    const Error error = refusal();
    EXPECT_EQ(error.code, Code::kSelfTest);
    EXPECT_NE(std::string(error.what()).find("engine " + std::string(name) + ": "), std::string::npos) << error.what();
    ASSERT_EQ(error.details.size(), 2u);
    EXPECT_NEAR(error.details[0].second, 1.0, 0.01);
    EXPECT_LT(error.details[1].second, 0.01);
    folder.write_plan(name, graph);
  }
  load();
}

TEST_F(TensorRtBackend, EnginesThatDoNotFitAreRefused) {
  setenv("MIPHA_STANDIN_GPU", "Thor", 1);
  EXPECT_EQ(refusal().code, Code::kBackend);
  unsetenv("MIPHA_STANDIN_GPU");
  folder.write_plan("language.1", "language 1 3");
  EXPECT_EQ(refusal().code, Code::kBackend);
  std::filesystem::remove(folder.path() + "/language.1.plan");
  EXPECT_EQ(refusal().code, Code::kBackend);
  folder.write_plan("language.0", "vision");
  EXPECT_EQ(refusal().code, Code::kBackend);
  std::filesystem::remove(folder.path() + "/vision.plan");
  EXPECT_EQ(refusal().code, Code::kModelMissing);
}

TEST_F(TensorRtBackend, TooLittleMemoryIsRefused) {
  const test::EngineFolder wide(32, 20000);  // 38 MB of keys and values
  for (const char* bytes : {"100000", "20000000"}) {
    setenv("MIPHA_STANDIN_MEMORY", bytes, 1);
    try {
      wide.load();
      FAIL() << bytes;
    } catch (const Error& error) {
      EXPECT_EQ(error.code, Code::kMemory);
      ASSERT_EQ(error.details.size(), 2u);
      EXPECT_GT(error.details[0].second, error.details[1].second);
    }
  }
  wide.load(20);  // fewer rows than the engines could read
}

TEST_F(TensorRtBackend, ALibraryThatIsNotThereIsNamed) {
  BackendOptions options = folder.options();
  options.tensorrt.library = "/nowhere/mipha_tensorrt.so";
  try {
    create_backend("tensorrt", folder.package(), options, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kBackend);
    EXPECT_NE(std::string(error.what()).find("mipha doctor"), std::string::npos);
  }
}

TEST(TensorRtCheck, NothingPassesThatIsNoNumber) {
  using tensorrt::Deviation;
  EXPECT_FALSE((Deviation{"x", NAN, 1}).passes());
  EXPECT_THROW(tensorrt::require("vision", {{"a", 0.1, 0.2}, {"x", NAN, 1}}), Error);
  tensorrt::require("vision", {{"a", 0.2, 0.2}});
}

}  // namespace
}  // namespace mipha
