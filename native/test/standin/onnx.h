// What a build reads from an ONNX file: metadata, inputs, outputs, and where external data lies. Field numbers are onnx.proto's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mipha::standin {

/// A size, or −1 and the name of one.
struct Dim {
  int64_t size = -1;
  std::string name;
};

struct GraphTensor {
  std::string name;
  int32_t type = 0;  // of onnx.proto: 1 f32, 6 i32, 10 f16
  std::vector<Dim> dims;
  bool input = false;
};

struct Onnx {
  struct External {
    std::string location;
    uint64_t offset = 0, length = 0;
  };
  std::map<std::string, std::string> metadata;
  std::vector<GraphTensor> tensors;  // inputs, then outputs
  std::vector<External> external;
};

/// Throws std::runtime_error when the bytes are no whole model.
Onnx read_onnx(std::string_view bytes);

}  // namespace mipha::standin
