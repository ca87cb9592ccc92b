#include "test/standin/plan.h"

#include <cstring>
#include <stdexcept>
#include <string_view>

namespace mipha::standin {
namespace {

constexpr std::string_view kMagic = "mipha stand-in plan 1\n";

/// FNV-1a over words of eight bytes; a rest is left to the last word.
uint64_t checksum(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t at = 0; at < bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, std::min<size_t>(8, bytes.size() - at));
    hash = (hash ^ word) * 0x100000001b3u;
  }
  return hash;
}

struct Writer {
  std::string out;
  void number(uint64_t value) { out.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void text(std::string_view value) {
    number(value.size());
    out.append(value);
  }
  void numbers(const std::vector<int64_t>& values) {
    number(values.size());
    for (int64_t value : values) number(static_cast<uint64_t>(value));
  }
};

struct Reader {
  std::string_view in;
  std::string_view take(uint64_t count) {
    if (count > in.size()) throw std::runtime_error("cut short");
    const std::string_view taken = in.substr(0, count);
    in.remove_prefix(count);
    return taken;
  }
  uint64_t number() {
    uint64_t value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(number())); }
  std::vector<int64_t> numbers() {
    std::vector<int64_t> values(number());
    for (int64_t& value : values) value = static_cast<int64_t>(number());
    return values;
  }
};

}  // namespace

std::string Plan::encode() const {
  Writer writer;
  writer.out = kMagic;
  for (const std::string* text : {&tensorrt, &gpu, &graph, &manifest, &calibration}) writer.text(*text);
  writer.number(wide);
  writer.number(wrong);
  writer.number(tensors.size());
  for (const GraphTensor& tensor : tensors) {
    writer.text(tensor.name);
    writer.number(static_cast<uint64_t>(tensor.type));
    writer.number(tensor.input);
    writer.number(tensor.dims.size());
    for (const Dim& dim : tensor.dims) {
      writer.number(static_cast<uint64_t>(dim.size));
      writer.text(dim.name);
    }
  }
  writer.number(profiles.size());
  for (const auto& profile : profiles) {
    writer.number(profile.size());
    for (const InputRange& range : profile) {
      writer.numbers(range.least);
      writer.numbers(range.most);
    }
  }
  writer.text({reinterpret_cast<const char*>(weights.data()), weight_bytes});
  writer.number(checksum(writer.out));
  return std::move(writer.out);
}

Plan Plan::decode(const void* data, size_t bytes) {
  const std::string_view whole(static_cast<const char*>(data), bytes);
  if (whole.substr(0, kMagic.size()) != kMagic || bytes < kMagic.size() + 8) throw std::runtime_error("no plan");
  Reader end{whole.substr(bytes - 8)};
  if (end.number() != checksum(whole.substr(0, bytes - 8))) throw std::runtime_error("its checksum is wrong");

  Plan plan;
  Reader reader{whole.substr(kMagic.size())};
  for (std::string* text : {&plan.tensorrt, &plan.gpu, &plan.graph, &plan.manifest, &plan.calibration}) *text = reader.text();
  plan.wide = reader.number() != 0;
  plan.wrong = reader.number() != 0;
  plan.tensors.resize(reader.number());
  for (GraphTensor& tensor : plan.tensors) {
    tensor.name = reader.text();
    tensor.type = static_cast<int32_t>(reader.number());
    tensor.input = reader.number() != 0;
    tensor.dims.resize(reader.number());
    for (Dim& dim : tensor.dims) {
      dim.size = static_cast<int64_t>(reader.number());
      dim.name = reader.text();
    }
  }
  plan.profiles.resize(reader.number());
  for (auto& profile : plan.profiles) {
    profile.resize(reader.number());
    for (InputRange& range : profile) {
      range.least = reader.numbers();
      range.most = reader.numbers();
    }
  }
  const std::string weights = reader.text();
  plan.weight_bytes = weights.size();
  plan.weights.resize((weights.size() + 7) / 8);
  std::memcpy(plan.weights.data(), weights.data(), weights.size());
  return plan;
}

}  // namespace mipha::standin
