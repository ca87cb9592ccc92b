#include "test/standin/onnx.h"

#include <algorithm>
#include <stdexcept>

namespace mipha::standin {
namespace {

/// Calls visit(field number, number, bytes) for each field of a message, in order.
template <typename Visit>
void each_field(std::string_view bytes, Visit&& visit) {
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at >= bytes.size()) throw std::runtime_error("cut short");
      const auto byte = static_cast<uint8_t>(bytes[at++]);
      value |= uint64_t{byte & 127u} << shift;
      if (byte < 128) return value;
    }
    throw std::runtime_error("a number of more than 64 bits");
  };
  const auto take = [&](uint64_t count) {
    if (count > bytes.size() - at) throw std::runtime_error("cut short");
    at += count;
    return bytes.substr(at - count, count);
  };
  while (at < bytes.size()) {
    const uint64_t key = varint();
    const int field = static_cast<int>(key >> 3);
    switch (key & 7) {
      case 0:
        visit(field, varint(), std::string_view());
        break;
      case 1:
        visit(field, 0, take(8));
        break;
      case 2:
        visit(field, 0, take(varint()));
        break;
      case 5:
        visit(field, 0, take(4));
        break;
      default:
        throw std::runtime_error("wire type " + std::to_string(key & 7));
    }
  }
}

std::pair<std::string, std::string> pair(std::string_view bytes) {
  std::pair<std::string, std::string> out;
  each_field(bytes, [&](int field, uint64_t, std::string_view value) { (field == 1 ? out.first : out.second) = value; });
  return out;
}

GraphTensor tensor(std::string_view bytes, bool input) {
  GraphTensor out;
  out.input = input;
  const auto dims = [&](int field, uint64_t, std::string_view dim) {
    if (field != 1) return;
    Dim& to = out.dims.emplace_back();
    each_field(dim, [&](int kind, uint64_t number, std::string_view name) {
      if (kind == 1) to.size = static_cast<int64_t>(number);
      if (kind == 2) to.name = name;
    });
  };
  const auto tensor_type = [&](int field, uint64_t number, std::string_view value) {
    if (field == 1) out.type = static_cast<int32_t>(number);
    if (field == 2) each_field(value, dims);
  };
  each_field(bytes, [&](int field, uint64_t, std::string_view value) {
    if (field == 1) out.name = value;
    if (field != 2) return;
    each_field(value, [&](int kind, uint64_t, std::string_view type) {
      if (kind == 1) each_field(type, tensor_type);
    });
  });
  return out;
}

void add_external(std::string_view initializer, Onnx& model) {
  Onnx::External external;
  each_field(initializer, [&](int field, uint64_t, std::string_view value) {
    if (field != 13) return;
    const auto [key, text] = pair(value);
    if (key == "location") external.location = text;
    if (key == "offset") external.offset = std::stoull(text);
    if (key == "length") external.length = std::stoull(text);
  });
  if (!external.location.empty()) model.external.push_back(external);
}

}  // namespace

Onnx read_onnx(std::string_view bytes) {
  Onnx model;
  bool graph = false;
  each_field(bytes, [&](int field, uint64_t, std::string_view value) {
    if (field == 14) model.metadata.insert(pair(value));
    if (field != 7) return;
    graph = true;
    each_field(value, [&](int part, uint64_t, std::string_view item) {
      if (part == 5) add_external(item, model);
      if (part == 11 || part == 12) model.tensors.push_back(tensor(item, part == 11));
    });
  });
  if (!graph) throw std::runtime_error("no graph in it");
  std::stable_partition(model.tensors.begin(), model.tensors.end(), [](const GraphTensor& tensor) { return tensor.input; });
  return model;
}

}  // namespace mipha::standin
