// A folder with manifest.json and weights.safetensors, opened as a backend gets it.
#include "package/package.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "test/support/stored_model.h"
#include "test/support/tiny_model.h"

namespace mipha {
namespace {

class PackageTest : public testing::Test {
 protected:
  PackageTest() {
    folder_.write("manifest.json", manifest());
    folder_.write("weights.safetensors", weights());
  }

  void write(const std::string& name, const std::string& bytes) const { folder_.write(name, bytes); }
  std::string manifest() const { return test::manifest_of(model_.config()); }
  std::string weights() const { return test::safetensors_of(model_.tensors()); }

  Code refusal() const {
    try {
      Package::open(folder_.path());
    } catch (const Error& error) {
      return error.code;
    }
    ADD_FAILURE() << "accepted";
    return Code::kInternal;
  }

  const test::TinyModel model_;
  const test::TemporaryFolder folder_;
};

TEST_F(PackageTest, OpensWithTheWeightsThatWereWritten) {
  const auto package = Package::open(folder_.path());
  EXPECT_EQ(package->config().language.vocab, model_.config().language.vocab);
  const Linear &read = package->weights().decoder[1].up, &written = model_.weights().decoder[1].up;
  ASSERT_EQ(read.dtype, DType::kI8);
  const size_t bytes = static_cast<size_t>(read.out) * static_cast<size_t>(read.in);
  EXPECT_EQ(std::memcmp(read.weight, written.weight, bytes), 0);
  package->release(read.weight, bytes);
  EXPECT_EQ(std::memcmp(read.weight, written.weight, bytes), 0);
  EXPECT_EQ(std::memcmp(read.scale, written.scale, static_cast<size_t>(read.out) * sizeof(float)), 0);
}

TEST_F(PackageTest, StaysReadableAfterItsFilesAreGone) {
  const auto package = Package::open(folder_.path());
  std::filesystem::remove_all(folder_.path());
  EXPECT_EQ(package->weights().final_norm.gain[3], model_.weights().final_norm.gain[3]);
}

TEST_F(PackageTest, NamesMissingFilesAsMissing) {
  std::filesystem::remove(folder_.path() + "/weights.safetensors");
  EXPECT_EQ(refusal(), Code::kModelMissing);
  std::filesystem::remove(folder_.path() + "/manifest.json");
  EXPECT_EQ(refusal(), Code::kModelMissing);
}

TEST_F(PackageTest, RefusesFilesCutShort) {
  const std::string whole = weights();
  for (const size_t length : {size_t{0}, size_t{7}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write("weights.safetensors", whole.substr(0, length));
    EXPECT_EQ(refusal(), Code::kModelFormat) << length;
  }
  write("weights.safetensors", whole);
  write("manifest.json", "");
  EXPECT_EQ(refusal(), Code::kModelFormat);
}

TEST_F(PackageTest, RefusesWeightsOfAnotherArchitecture) {
  std::string other = manifest();
  const std::string layers = "\"layers\":3.000000";
  other.replace(other.find(layers), layers.size(), "\"layers\":4");
  write("manifest.json", other);
  EXPECT_EQ(refusal(), Code::kModelFormat);
}

}  // namespace
}  // namespace mipha
