// A folder with manifest.json and weights.safetensors, opened as a backend gets it.
#include "package/package.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "core/error.h"
#include "test/support/tiny_model.h"

namespace mipha {
namespace {

class PackageTest : public testing::Test {
 protected:
  PackageTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mipha-package-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    write("manifest.json", manifest());
    write("weights.safetensors", weights());
  }
  ~PackageTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& bytes) const { std::ofstream(folder_ + "/" + name, std::ios::binary) << bytes; }

  std::string manifest() const {
    const VisionConfig& v = model_.config().vision;
    const LanguageConfig& l = model_.config().language;
    const auto field = [](const char* name, double value) { return "\"" + std::string(name) + "\":" + std::to_string(value); };
    return "{\"architecture\":{\"vision\":{" + field("imageSize", v.image_size) + "," + field("patchSize", v.patch_size) + "," +
           field("hidden", v.hidden) + "," + field("intermediate", v.intermediate) + "," + field("heads", v.heads) + "," + field("layers", v.layers) +
           "," + field("epsilon", v.epsilon) + "},\"projector\":{" + field("layers", model_.config().projector_layers) + "},\"language\":{" +
           field("hidden", l.hidden) + "," + field("intermediate", l.intermediate) + "," + field("layers", l.layers) + "," + field("heads", l.heads) +
           "," + field("rotary", l.rotary) + "," + field("vocab", l.vocab) + "," + field("tokens", l.tokens) + "," + field("context", l.context) +
           "," + field("epsilon", l.epsilon) + "," + field("ropeTheta", l.rope_theta) + "}},\"preprocessing\":{\"aspect\":\"pad\"}}";
  }

  std::string weights() const {
    static constexpr const char* kNames[] = {"I8", "F16", "F32"};
    std::string header = "{", body;
    for (const auto& [name, tensor] : model_.tensors()) {
      std::string shape;
      for (const int64_t size : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
      header += (header.size() > 1 ? ",\"" : "\"") + name + "\":{\"dtype\":\"" + kNames[static_cast<int>(tensor.dtype)] + "\",\"shape\":[" + shape +
                "],\"data_offsets\":[" + std::to_string(body.size()) + "," + std::to_string(body.size() + tensor.bytes) + "]}";
      body.append(static_cast<const char*>(tensor.data), tensor.bytes);
    }
    header += "}";
    while (header.size() % 8 != 0) header.push_back(' ');
    std::string length;
    for (int i = 0; i < 8; ++i) length.push_back(static_cast<char>(header.size() >> (8 * i)));
    return length + header + body;
  }

  Code refusal() const {
    try {
      Package::open(folder_);
    } catch (const Error& error) {
      return error.code;
    }
    ADD_FAILURE() << "accepted";
    return Code::kInternal;
  }

  const test::TinyModel model_;
  std::string folder_;
};

TEST_F(PackageTest, OpensWithTheWeightsThatWereWritten) {
  const auto package = Package::open(folder_);
  EXPECT_EQ(package->config().language.vocab, model_.config().language.vocab);
  const Linear &read = package->weights().language[1].fc1, &written = model_.weights().language[1].fc1;
  ASSERT_EQ(read.dtype, DType::kI8);
  const size_t bytes = static_cast<size_t>(read.out) * static_cast<size_t>(read.in);
  EXPECT_EQ(std::memcmp(read.weight, written.weight, bytes), 0);
  package->release(read.weight, bytes);
  EXPECT_EQ(std::memcmp(read.weight, written.weight, bytes), 0);
  EXPECT_EQ(std::memcmp(read.scale, written.scale, static_cast<size_t>(read.out) * sizeof(float)), 0);
}

TEST_F(PackageTest, StaysReadableAfterItsFilesAreGone) {
  const auto package = Package::open(folder_);
  std::filesystem::remove_all(folder_);
  EXPECT_EQ(package->weights().final_norm.gain[3], model_.weights().final_norm.gain[3]);
}

TEST_F(PackageTest, NamesMissingFilesAsMissing) {
  std::filesystem::remove(folder_ + "/weights.safetensors");
  EXPECT_EQ(refusal(), Code::kModelMissing);
  std::filesystem::remove(folder_ + "/manifest.json");
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
