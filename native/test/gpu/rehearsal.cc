// scripts/gpu-check.sh with our programs on the machine without a GPU: they start as the script starts them, and it takes what they print. How it
// goes when one fails, hangs or is missing is test/native/gpu-check.test.ts.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace mipha {
namespace {

namespace fs = std::filesystem;

const std::string kPrograms = MIPHA_PROGRAMS, kRoot = MIPHA_SOURCES;

/// A program of the folder that runs one of ours, at a size the machine can take.
void stand_in(const fs::path& folder, const char* name, const std::string& body) {
  const fs::path path = folder / name;
  std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
  fs::permissions(path, fs::perms::owner_all);
}

int count(const std::string& text, const std::string& what) {
  int found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

TEST(GpuCheck, TakesWhatOurProgramsPrint) {
  const fs::path folder = fs::path(testing::TempDir()) / ("gpu-check-" + std::to_string(getpid())), out = folder / "out";
  fs::create_directories(folder);
  stand_in(folder, "primitives", "exec " + kPrograms + "/primitives");
  stand_in(folder, "cuda_rows_test", "exec " + kPrograms + "/cuda_rows_test \"$@\"");
  stand_in(folder, "gpu_bench", "[ \"$1\" = --short ] || exit 0\nexec " + kPrograms + "/gpu_bench --small");
  stand_in(folder, "gpu_answers", "exec " + kPrograms + "/gpu_answers \"$@\" 0 1");
  fs::create_symlink(kPrograms + "/mipha_cuda.so", folder / "mipha_cuda.so");
  fs::create_directory_symlink(kRoot + "/models/mipha-nano", folder / "nano");
  fs::create_directories(folder / "questions");
  const std::string questions =
      "cd " + kRoot + " && node scripts/gpu-check/questions.mjs models/mipha-nano " + (folder / "questions").string() + " 1";
  ASSERT_EQ(std::system(questions.c_str()), 0) << "npm run setup makes what it needs";
  const std::string command = "MIPHA_GPU_CHECK_SECONDS=1800 MIPHA_GPU_CHECK_TIMES=9 bash " + kRoot + "/scripts/gpu-check.sh " + folder.string() +
                              " " + out.string() + " > /dev/null";
  const int status = std::system(command.c_str());
  std::ifstream file(out / "results.jsonl");
  const std::string results{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(status, 0) << results;
  EXPECT_EQ(count(results, R"("step":"check")"), count(results, R"("ok":true)"));
  EXPECT_GE(count(results, R"("step":"check")"), 11);
  EXPECT_EQ(count(results, "steps run ahead"), 2);
  EXPECT_EQ(count(results, R"("step":"limit")"), 4);
  EXPECT_GE(count(results, R"("step":"model")"), 19);
  EXPECT_GE(count(results, R"("step":"memory")"), 5);
  EXPECT_GE(count(results, R"("step":"kernel")"), 82);
  EXPECT_EQ(count(results, R"({"run":"cuda_rows_test","status":0)"), 1);
  EXPECT_EQ(count(results, R"({"run":"answers","status":0)"), 1);
  EXPECT_EQ(count(results, R"("step":"answers")"), 1);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace mipha
