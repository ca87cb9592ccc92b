#include "package/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/error.h"
#include "test/support/mutate.h"

namespace mipha {
namespace {

constexpr char kHeader[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"I8","shape":[8],"data_offsets":[24,32]},)"
    R"("c":{"dtype":"F16","shape":[1,2,2],"data_offsets":[32,40]},"d":{"dtype":"F32","shape":[0],"data_offsets":[40,40]},"e":{"dtype":"F32","shape":[],"data_offsets":[40,44]}})";
constexpr size_t kBody = 44;

std::string length_prefix(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(length >> (8 * i)));
  return bytes;
}

/// A file with that header, padded with spaces as the format's own writer does.
std::string file(std::string header, size_t body = kBody) {
  while (header.size() % 8 != 0) header.push_back(' ');
  return length_prefix(header.size()) + header + std::string(body, '\1');
}

std::map<std::string, Tensor> read(const std::string& bytes, std::vector<std::byte>* storage) {
  storage->resize(bytes.size());
  if (!bytes.empty()) std::memcpy(storage->data(), bytes.data(), bytes.size());
  return read_safetensors(storage->data(), storage->size(), "weights.safetensors");
}

std::string refusal(const std::string& bytes) {
  std::vector<std::byte> storage;
  try {
    read(bytes, &storage);
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kModelFormat);
    EXPECT_EQ(std::string(error.what()).rfind("weights.safetensors", 0), 0u) << error.what();
    return error.what();
  }
  return "accepted";
}

std::string with(const std::string& entry) {
  return file("{" + entry + "}");
}

TEST(Safetensors, ReadsNamesTypesShapesAndBytes) {
  std::vector<std::byte> storage;
  const auto tensors = read(file(kHeader), &storage);
  ASSERT_EQ(tensors.size(), 5u);
  EXPECT_EQ(tensors.at("a").dtype, DType::kF32);
  EXPECT_EQ(tensors.at("a").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensors.at("b").dtype, DType::kI8);
  EXPECT_EQ(tensors.at("c").dtype, DType::kF16);
  EXPECT_EQ(tensors.at("c").bytes, 8u);
  EXPECT_EQ(tensors.at("d").bytes, 0u);
  EXPECT_TRUE(tensors.at("e").shape.empty());
  const std::byte* const body = storage.data() + storage.size() - kBody;
  EXPECT_EQ(tensors.at("a").data, body);
  EXPECT_EQ(tensors.at("b").data, body + 24);
}

TEST(Safetensors, RefusesBrokenContainers) {
  EXPECT_NE(refusal("").find("too short"), std::string::npos);
  EXPECT_NE(refusal("1234567").find("too short"), std::string::npos);
  EXPECT_NE(refusal(length_prefix(3) + "{}").find("header of 3 bytes"), std::string::npos);
  EXPECT_NE(refusal(length_prefix(~0ull) + "{}").find("header of"), std::string::npos);
  EXPECT_NE(refusal(length_prefix(kMaxSafetensorsHeader + 1) + "{}").find("header of"), std::string::npos);
  EXPECT_NE(refusal(length_prefix(2) + "[]").find("not an object"), std::string::npos);
  EXPECT_NE(refusal(length_prefix(0)).find("at byte 0"), std::string::npos);
  EXPECT_NE(refusal(file(kHeader, kBody - 1)).find("outside the file"), std::string::npos);
}

TEST(Safetensors, RefusesDuplicateNames) {
  const std::string entry = R"("a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]})";
  EXPECT_NE(refusal(with(entry + "," + entry)).find("duplicate key"), std::string::npos);
}

TEST(Safetensors, RefusesOtherTypesByName) {
  for (const char* dtype : {"BF16", "F64", "I64", "U8", "BOOL", "F8_E4M3", ""}) {
    const std::string message = refusal(with(std::string(R"("w":{"dtype":")") + dtype + R"(","shape":[1],"data_offsets":[0,8]})"));
    EXPECT_NE(message.find("tensor w"), std::string::npos) << message;
    EXPECT_NE(message.find(std::string("\"") + dtype + "\""), std::string::npos) << message;
  }
}

TEST(Safetensors, RefusesBytesThatDoNotMatchTheShape) {
  EXPECT_NE(refusal(with(R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,23]})")).find("needs 24 bytes"), std::string::npos);
  EXPECT_NE(refusal(with(R"("w":{"dtype":"F32","shape":[],"data_offsets":[0,0]})")).find("needs 4 bytes"), std::string::npos);
  // 2^31 · 2^31 · 4 wraps around to 0 in 64 bits.
  EXPECT_NE(refusal(with(R"("w":{"dtype":"F32","shape":[2147483648,2147483648],"data_offsets":[0,0]})")).find("too large"), std::string::npos);
  // A zero does not excuse sizes that overflow before it.
  EXPECT_NE(refusal(with(R"("w":{"dtype":"I8","shape":[4503599627370496,4503599627370496,0],"data_offsets":[0,0]})")).find("too large"),
            std::string::npos);
}

TEST(Safetensors, RefusesOddSizesAndOffsets) {
  for (const char* shape : {"[-1]", "[1.5]", "[\"1\"]", "1", "[1e300]", "[1,1,1,1,1,1,1,1,1]", "null"}) {
    EXPECT_NE(refusal(with(std::string(R"("w":{"dtype":"I8","data_offsets":[0,1],"shape":)") + shape + "}")).find("tensor w: shape"),
              std::string::npos)
        << shape;
  }
  for (const char* offsets : {"[0]", "[0,1,2]", "[1,0]", "[-1,0]", "[0,1e300]", "[44,45]", "[18446744073709551615,0]", "{}", "[null,1]"}) {
    EXPECT_NE(refusal(with(std::string(R"("w":{"dtype":"I8","shape":[1],"data_offsets":)") + offsets + "}")).find("data_offsets"), std::string::npos)
        << offsets;
  }
  EXPECT_NE(refusal(with(R"("w":{"dtype":"I8","shape":[1]})")).find("needs dtype"), std::string::npos);
  EXPECT_NE(refusal(with(R"("w":7)")).find("needs dtype"), std::string::npos);
}

TEST(Safetensors, RefusesOverlap) {
  EXPECT_NE(
      refusal(with(R"("a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[8],"data_offsets":[7,15]})")).find("overlap"),
      std::string::npos);
  EXPECT_NE(
      refusal(with(R"("a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[1],"data_offsets":[3,4]})")).find("overlap"),
      std::string::npos);
  EXPECT_EQ(refusal(with(R"("a":{"dtype":"I8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[1],"data_offsets":[8,9]})")), "accepted");
}

TEST(Safetensors, RefusesBytesThatAreNotAligned) {
  EXPECT_NE(refusal(with(R"("w":{"dtype":"F32","shape":[1],"data_offsets":[2,6]})")).find("aligned"), std::string::npos);
  EXPECT_NE(refusal(with(R"("w":{"dtype":"F16","shape":[1],"data_offsets":[1,3]})")).find("aligned"), std::string::npos);
  EXPECT_EQ(refusal(with(R"("w":{"dtype":"I8","shape":[1],"data_offsets":[3,4]})")), "accepted");
}

TEST(Safetensors, SurvivesDamage) {
  const std::string whole = file(kHeader);
  std::mt19937 random(20240917);
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    // Every other time the length is put right again, so that the damage reaches the fields behind it.
    std::string bytes = test::mutate(round % 2 == 0 ? whole : std::string(kHeader), &random);
    if (round % 2 != 0) bytes = file(bytes);
    std::vector<std::byte> storage;
    try {
      for (const auto& [name, tensor] : read(bytes, &storage)) {
        const auto* const begin = static_cast<const std::byte*>(tensor.data);
        ASSERT_GE(begin, storage.data());
        ASSERT_LE(begin + tensor.bytes, storage.data() + storage.size()) << name;
      }
      ++accepted;
    } catch (const Error& error) {
      ASSERT_EQ(error.code, Code::kModelFormat) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(accepted, 100);
  EXPECT_GT(refused, 3000);
}

}  // namespace
}  // namespace mipha
