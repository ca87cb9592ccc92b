#include "package/safetensors.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "core/error.h"
#include "package/json.h"

namespace mipha {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxDimensions = 8;

struct Type {
  const char* name;
  DType dtype;
  uint64_t bytes;
};
constexpr Type kTypes[] = {{"I8", DType::kI8, 1}, {"F16", DType::kF16, 2}, {"F32", DType::kF32, 4}};

class Reader {
 public:
  Reader(const std::byte* data, size_t bytes, const std::string& what) : data_(data), bytes_(bytes), what_(what) {}

  std::map<std::string, Tensor> read() {
    const Json header = read_header();
    std::map<std::string, Tensor> tensors;
    for (const auto& [name, entry] : header.members) {
      if (name != "__metadata__") tensors.emplace(name, read_tensor(name, entry));
    }
    refuse_overlap(tensors);
    return tensors;
  }

 private:
  [[noreturn]] void fail(const std::string& reason) const { throw Error(Code::kModelFormat, what_ + ": " + reason); }
  [[noreturn]] void fail(const std::string& tensor, const std::string& reason) const { fail("tensor " + tensor + ": " + reason); }

  Json read_header() {
    if (bytes_ < kLengthBytes) fail("too short for a safetensors header: " + std::to_string(bytes_) + " bytes");
    uint64_t length = 0;
    for (size_t i = 0; i < kLengthBytes; ++i) length |= std::to_integer<uint64_t>(data_[i]) << (8 * i);
    if (length > kMaxSafetensorsHeader || length > bytes_ - kLengthBytes) {
      fail("header of " + std::to_string(length) + " bytes in a file of " + std::to_string(bytes_));
    }
    const std::string_view text(reinterpret_cast<const char*>(data_ + kLengthBytes), length);
    const Json header = parse_json(text, what_ + " (header)");
    if (header.kind != Json::Kind::kObject) fail("the header is not an object");
    body_ = data_ + kLengthBytes + length;
    body_bytes_ = bytes_ - kLengthBytes - length;
    return header;
  }

  uint64_t read_unsigned(const std::string& name, const Json& value, const char* field) const {
    if (!value.is_integer() || value.number < 0) fail(name, std::string(field) + ": expected whole numbers from 0 on");
    return static_cast<uint64_t>(value.number);
  }

  Tensor read_tensor(const std::string& name, const Json& entry) const {
    const Json* const dtype = entry.find("dtype");
    const Json* const shape = entry.find("shape");
    const Json* const offsets = entry.find("data_offsets");
    if (dtype == nullptr || shape == nullptr || offsets == nullptr) fail(name, "needs dtype, shape and data_offsets");

    const auto type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const Type& t) { return dtype->string == t.name; });
    if (type == std::end(kTypes)) fail(name, "expected dtype I8, F16 or F32, received \"" + dtype->string + "\"");
    if (shape->kind != Json::Kind::kArray || shape->items.size() > kMaxDimensions) fail(name, "shape: expected an array of at most 8 sizes");
    if (offsets->items.size() != 2) fail(name, "data_offsets: expected [begin, end]");

    const uint64_t begin = read_unsigned(name, offsets->items[0], "data_offsets");
    const uint64_t end = read_unsigned(name, offsets->items[1], "data_offsets");
    if (begin > end || end > body_bytes_) fail(name, "data_offsets lie outside the file");

    Tensor tensor;
    tensor.dtype = type->dtype;
    tensor.data = body_ + begin;
    tensor.bytes = end - begin;
    uint64_t needed = type->bytes;
    for (const Json& item : shape->items) {
      const uint64_t size = read_unsigned(name, item, "shape");
      if (size != 0 && needed > std::numeric_limits<uint64_t>::max() / size) fail(name, "shape: too large");
      needed *= size;
      tensor.shape.push_back(static_cast<int64_t>(size));
    }
    if (needed != tensor.bytes) fail(name, "the shape needs " + std::to_string(needed) + " bytes, the offsets hold " + std::to_string(tensor.bytes));
    if (reinterpret_cast<uintptr_t>(tensor.data) % type->bytes != 0) fail(name, "its bytes are not aligned to its type");
    return tensor;
  }

  void refuse_overlap(const std::map<std::string, Tensor>& tensors) const {
    std::vector<std::pair<const std::byte*, const std::string*>> order;
    for (const auto& [name, tensor] : tensors) {
      if (tensor.bytes != 0) order.emplace_back(static_cast<const std::byte*>(tensor.data), &name);
    }
    std::sort(order.begin(), order.end());
    for (size_t i = 1; i < order.size(); ++i) {
      const auto& [start, name] = order[i - 1];
      if (start + tensors.at(*name).bytes > order[i].first) fail(*order[i].second, "its bytes overlap those of " + *name);
    }
  }

  const std::byte* const data_;
  const size_t bytes_;
  const std::string& what_;
  const std::byte* body_ = nullptr;
  uint64_t body_bytes_ = 0;
};

}  // namespace

std::map<std::string, Tensor> read_safetensors(const std::byte* data, size_t bytes, const std::string& what) {
  return Reader(data, bytes, what).read();
}

}  // namespace mipha
