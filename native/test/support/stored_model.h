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
  static constexpr const char *kNorms[] = {"layer", "rms"}, *kActivations[] = {"gelu_tanh", "gelu_erf", "quick_gelu", "silu"},
                              *kResiduals[] = {"sequential", "parallel", "parallel_two_norms"};
  const VisionConfig& v = config.vision;
  const LanguageConfig& l = config.language;
  std::string json;
  const auto raw = [&](const char* name, const std::string& value) {
    json += (json.back() == '{' ? "\"" : ",\"") + std::string(name) + "\":" + value;
  };
  const auto number = [&](const char* name, double value) { raw(name, std::to_string(value)); };
  const auto flag = [&](const char* name, bool value) { raw(name, value ? "true" : "false"); };
  const auto word = [&](const char* name, const char* value) { raw(name, "\"" + std::string(value) + "\""); };
  const auto block = [&](const BlockConfig& b) {
    number("hidden", b.hidden), number("intermediate", b.intermediate), number("heads", b.heads), number("kvHeads", b.kv_heads);
    number("headSize", b.head_size), number("epsilon", b.epsilon), flag("gated", b.gated);
    word("norm", kNorms[static_cast<int>(b.norm)]), word("activation", kActivations[static_cast<int>(b.activation)]);
    word("residual", kResiduals[static_cast<int>(b.residual)]);
  };
  json = "{\"architecture\":{\"vision\":{";
  block(v);
  number("imageSize", v.image_size), number("patchSize", v.patch_size), number("layers", v.layers), number("prefixRows", v.prefix_rows);
  number("skippedRows", v.skipped_rows), flag("preNorm", v.pre_norm);
  json += "},\"projector\":{";
  number("layers", config.projector.layers), flag("pooled", config.projector.pooled);
  json += "},\"language\":{";
  block(l);
  number("layers", l.layers), number("rotaryDims", l.rotary_dims), number("vocab", l.vocab), number("tokens", l.tokens);
  number("context", l.context), number("ropeTheta", l.rope_theta);
  return json + "}},\"preprocessing\":{\"aspect\":\"pad\",\"shortestSide\":" + std::to_string(v.image_size) +
         ",\"filter\":\"bicubic\",\"background\":[127,127,127],\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]},\"recipe\":{}}";
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
