// The CUDA backend when the device fails or has too little memory, and that nothing of it stays behind. What the machine's environment variables ask
// for holds for a whole process: those tests run in one of their own.
#include <cstdlib>
#include <string>

#include "backend/cuda/library.h"
#include "support/backend_layers.h"

namespace mipha {
namespace {

using test::Loaded;
using test::token_ids;

const int kNamed = setenv("MIPHA_CUDA", MIPHA_CUDA_LIBRARY, 0);

int64_t free_bytes() {
  return cuda::Library(cuda::default_library()).facts().free_bytes;
}

/// Runs `body` in a process of its own; what it returns must be empty.
template <class Body>
void in_process(const char* variable, const std::string& value, Body&& body) {
  EXPECT_EXIT(
      {
        setenv(variable, value.c_str(), 1);
        const std::string wrong = body();
        std::fprintf(stderr, "%s", wrong.c_str());
        std::_Exit(wrong.empty() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "")
      << variable << " " << value;
}

/// The error of `body` as "ERR_…: words"; empty without one.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::string(code_name(error.code)) + ": " + error.what();
  }
  return "";
}

bool says_lost(const std::string& error) {
  return error.rfind("ERR_DEVICE: CUDA: ", 0) == 0 && error.find("cudaErrorLaunchFailure") != std::string::npos;
}

/// Everything that launches; says where it went wrong.
std::string use_until_lost() {
  std::unique_ptr<Loaded> loaded;
  const std::string at_load = error_of([&] { loaded = std::make_unique<Loaded>("cuda"); });
  if (!at_load.empty()) return says_lost(at_load) ? "" : "load: " + at_load;
  Backend& backend = *loaded->backend;
  const int sequence = backend.sequence();
  std::vector<float> logits(loaded->vocab);
  const int32_t id = 7;
  const auto everything = [&] {
    backend.encode(loaded->image, {}, nullptr);
    backend.append(sequence, {{token_ids(20).data(), 20}}, logits.data(), {});
    backend.step(&sequence, &id, 1, logits.data());
  };
  std::string lost;
  for (int round = 0; lost.empty() && round < 50; ++round) {
    lost = error_of(everything);
    if (lost.empty()) backend.truncate(sequence, 0);
  }
  if (!says_lost(lost)) return "first: " + lost;
  // It stays lost, whatever is asked of it, and so is all else on the device.
  const std::string calls[] = {error_of([&] { backend.encode(loaded->image, {}, nullptr); }), error_of([&] {
                                 backend.append(sequence, {{&id, 1}}, logits.data(), {});
                               }),
                               error_of([&] { backend.step(&sequence, &id, 1, logits.data()); }), error_of([] { Loaded("cuda"); })};
  for (const std::string& error : calls) {
    if (error.rfind("ERR_DEVICE: CUDA: ", 0) != 0) return "after it was lost: " + error;
  }
  backend.release(sequence);
  loaded.reset();
  return "";
}

TEST(CudaFailure, ALostDeviceIsATypedErrorAtAnyLaunch) {
  for (const int launches : {0, 1, 3, 10, 17, 30, 100}) in_process("MIPHA_MACHINE_FAIL_AFTER", std::to_string(launches), use_until_lost);
}

TEST(CudaFailure, TooLittleMemoryIsCountedAndNothingIsHeld) {
  // Pages of a device that shares the CPU's memory are there, and yet it does not give them: some slabs were taken, or none.
  for (const char* bytes : {"1000000", "300000000"}) {
    in_process("MIPHA_MACHINE_MEMORY", bytes, [&]() -> std::string {
      BackendOptions options;
      options.cache_tokens = 1'000'000;
      try {
        Loaded("cuda", options);
        return "loaded";
      } catch (const Error& error) {
        if (error.code != Code::kMemory || error.details.size() != 2) return error.what();
        const double needed = error.details[0].second, available = error.details[1].second, all = std::atof(bytes);
        if (needed <= all || available > all) return "needed and available: " + std::string(error.what());
        return free_bytes() == static_cast<int64_t>(all) ? "" : "held: " + std::to_string(all - static_cast<double>(free_bytes()));
      }
    });
  }
}

TEST(CudaFailure, LoadsAndCancelledQuestionsLeaveTheMemoryAsItWas) {
  const int64_t before = free_bytes();
  for (int i = 0; i < 50; ++i) {
    Loaded loaded("cuda");
    EXPECT_LT(free_bytes(), before);
  }
  EXPECT_EQ(free_bytes(), before);
  {
    Loaded loaded("cuda");
    Backend& backend = *loaded.backend;
    const int view = backend.sequence();
    const std::vector<float> expected = loaded.append(view, token_ids(20));
    const int64_t loaded_bytes = free_bytes();
    for (int i = 0; i < 200; ++i) {
      const int question = backend.fork(view);
      int asked = 0;
      EXPECT_FALSE(backend.append(question, {{token_ids(9).data(), 9}}, nullptr, [&] { return asked++ == i % backend.config().language.layers; }));
      backend.release(question);
    }
    EXPECT_EQ(free_bytes(), loaded_bytes);
    EXPECT_EQ(loaded.append(backend.sequence(), token_ids(20)), expected);
  }
  EXPECT_EQ(free_bytes(), before);
}

}  // namespace
}  // namespace mipha
