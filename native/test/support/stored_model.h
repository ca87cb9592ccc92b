// A model in memory as the files of a package: what a backend that opens folders is given in tests.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "model/config.h"
#include "model/weights.h"

namespace mipha::test {

/// A fresh folder, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mipha-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  void write(const std::string& name, const std::string& bytes) const { std::ofstream(path_ + "/" + name, std::ios::binary) << bytes; }

 private:
  std::string path_;
};

/// The sections of a manifest.json that native code reads; a recipe without entries.
inline std::string manifest_of(const Config& config) {
  const VisionConfig& v = config.vision;
  const LanguageConfig& l = config.language;
  const auto field = [](const char* name, double value) { return "\"" + std::string(name) + "\":" + std::to_string(value); };
  return "{\"architecture\":{\"vision\":{" + field("imageSize", v.image_size) + "," + field("patchSize", v.patch_size) + "," +
         field("hidden", v.hidden) + "," + field("intermediate", v.intermediate) + "," + field("heads", v.heads) + "," + field("layers", v.layers) +
         "," + field("epsilon", v.epsilon) + "},\"projector\":{" + field("layers", config.projector_layers) + "},\"language\":{" +
         field("hidden", l.hidden) + "," + field("intermediate", l.intermediate) + "," + field("layers", l.layers) + "," + field("heads", l.heads) +
         "," + field("rotaryDims", l.rotary_dims) + "," + field("vocab", l.vocab) + "," + field("tokens", l.tokens) + "," +
         field("context", l.context) + "," + field("epsilon", l.epsilon) + "," + field("ropeTheta", l.rope_theta) +
         "}},\"preprocessing\":{\"aspect\":\"pad\",\"background\":127,\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]},\"recipe\":{}}";
}

inline std::string safetensors_of(const std::map<std::string, Tensor>& tensors) {
  static constexpr const char* kNames[] = {"I8", "F16", "F32"};
  std::string header = "{", body;
  for (const auto& [name, tensor] : tensors) {
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

}  // namespace mipha::test
