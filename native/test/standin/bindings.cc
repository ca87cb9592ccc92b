#include "test/standin/bindings.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/half.h"

namespace mipha::standin {
namespace {

constexpr int kF16 = 10, kI32 = 6;  // of onnx.proto
constexpr size_t kAlignment = 256;

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(MIPHA_TRT_ARGUMENT, why);
}

size_t value_bytes(const GraphTensor& tensor) {
  return tensor.type == kF16 ? 2 : 4;
}

size_t bytes_of(const GraphTensor& tensor, const Binding& binding) {
  size_t bytes = value_bytes(tensor);
  for (int64_t size : binding.dims) bytes *= static_cast<size_t>(size);
  return bytes;
}

std::string show(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? ", " : "") + std::to_string(dims[i]);
  return text + "]";
}

/// Sizes that have a name are one size throughout; columns of the mask are past and new rows.
void resolve(const Plan& plan, Bindings& bindings) {
  std::map<std::string, int64_t> sizes;
  for (const GraphTensor& tensor : plan.tensors) {
    Binding& binding = bindings.at(tensor.name);
    if (!tensor.input) binding.dims.assign(tensor.dims.size(), -1);
    for (size_t i = 0; i < tensor.dims.size(); ++i) {
      if (tensor.dims[i].size >= 0) binding.dims[i] = tensor.dims[i].size;
      const std::string& name = tensor.dims[i].name;
      if (name.empty()) continue;
      if (!tensor.input) binding.dims[i] = sizes.at(name);
      const int64_t known = sizes.emplace(name, binding.dims[i]).first->second;
      if (known != binding.dims[i]) refuse(tensor.name + ": " + show(binding.dims) + " does not fit its " + name);
    }
  }
  if (sizes.count("columns") > 0 && sizes["columns"] != sizes["past"] + sizes["rows"]) refuse("mask: expected past + rows columns");
}

void check_apart(const Plan& plan, const Bindings& bindings) {
  std::map<uintptr_t, std::pair<size_t, std::string>> ranges;
  for (const GraphTensor& tensor : plan.tensors) {
    const Binding& binding = bindings.at(tensor.name);
    const size_t bytes = bytes_of(tensor, binding);
    if (bytes == 0) continue;
    const bool fresh = ranges.emplace(reinterpret_cast<uintptr_t>(binding.data), std::pair(bytes, tensor.name)).second;
    if (!fresh) refuse(tensor.name + ": shares its address");
  }
  uintptr_t end = 0;
  std::string before;
  for (const auto& [address, range] : ranges) {
    if (address < end) refuse(range.second + " overlaps " + before);
    end = address + range.first;
    before = range.second;
  }
}

}  // namespace

Binding bind(const Plan& plan, int profile, const std::string& name, const int64_t* dims, int count, void* address) {
  const auto found = std::find_if(plan.tensors.begin(), plan.tensors.end(), [&](const GraphTensor& tensor) { return tensor.name == name; });
  if (found == plan.tensors.end()) refuse("no tensor " + name);
  Binding binding{address, {}};
  if (found->input != (dims != nullptr)) refuse(name + (found->input ? " is an input" : " is an output"));
  if (!found->input) return binding;
  const InputRange& range = plan.profiles.at(profile).at(found - plan.tensors.begin());  // inputs come first
  if (count != static_cast<int>(range.most.size())) refuse(name + ": expected " + std::to_string(range.most.size()) + " sizes");
  binding.dims.assign(dims, dims + count);
  for (int i = 0; i < count; ++i) {
    if (dims[i] >= range.least[i] && dims[i] <= range.most[i]) continue;
    refuse(name + ": " + show(binding.dims) + " is outside of profile " + std::to_string(profile) + ", at most " + show(range.most));
  }
  return binding;
}

Bindings complete(const Plan& plan, Bindings bound, const Device& device) {
  for (const GraphTensor& tensor : plan.tensors) {
    if (bound.count(tensor.name) == 0) refuse(tensor.name + " is not bound");
  }
  resolve(plan, bound);
  for (const GraphTensor& tensor : plan.tensors) {
    const Binding& binding = bound.at(tensor.name);
    const size_t bytes = bytes_of(tensor, binding);
    if (bytes == 0) continue;
    if (reinterpret_cast<uintptr_t>(binding.data) % kAlignment != 0) refuse(tensor.name + ": its address is not a multiple of 256");
    device.check(binding.data, bytes, tensor.name);
  }
  check_apart(plan, bound);
  return bound;
}

void check_finite(const Plan& plan, const Bindings& bindings, bool input) {
  for (const GraphTensor& tensor : plan.tensors) {
    if (tensor.input != input || tensor.type == kI32) continue;
    const Binding& binding = bindings.at(tensor.name);
    const size_t count = bytes_of(tensor, binding) / value_bytes(tensor);
    for (size_t i = 0; i < count; ++i) {
      const float value = tensor.type == kF16 ? from_half(static_cast<const uint16_t*>(binding.data)[i]) : static_cast<const float*>(binding.data)[i];
      if (!std::isfinite(value)) refuse(tensor.name + ": value " + std::to_string(i) + " is not finite");
    }
  }
}

}  // namespace mipha::standin
