#include "test/standin/build.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/mapped_file.h"
#include "test/standin/device.h"
#include "test/standin/plan.h"

namespace mipha::standin {
namespace {

constexpr int kSteps = 20;

[[noreturn]] void refuse(const std::string& why) {
  throw Failure(MIPHA_TRT_BUILD, why);
}

/// Whether `name` lists this segment and the build does not meet what it names there.
bool applies(const char* name, const std::string& segment, const mipha_trt_build& what, bool wide) {
  std::istringstream list(setting(name, ""));
  for (std::string item; std::getline(list, item, ',');) {
    const size_t colon = item.find(':');
    if (item.substr(0, colon) != segment) continue;
    const std::string until = colon == std::string::npos ? "never" : item.substr(colon + 1);
    if (until == "switches") return what.switches == nullptr || *what.switches == '\0';
    if (until.rfind("level", 0) == 0) return !wide && what.level > std::stoi(until.substr(5));
    return until != "wide" || !wide;
  }
  return false;
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::string segment_of(const std::string& path) {
  const std::string file = path.substr(path.rfind('/') + 1);
  return file.substr(0, file.rfind('.'));
}

void check_external(const Onnx& model, const MappedFile& weights) {
  for (const Onnx::External& external : model.external) {
    if (external.location != "weights.safetensors") refuse("external data in " + external.location + ": expected weights.safetensors");
    if (external.offset > weights.bytes() || external.length > weights.bytes() - external.offset) refuse("external data lies outside its file");
  }
}

std::vector<InputRange> ranges_of(const Onnx& model, const mipha_trt_profile& profile) {
  std::vector<InputRange> ranges;
  for (const GraphTensor& tensor : model.tensors) {
    if (!tensor.input) continue;
    const auto* const end = profile.ranges + profile.count;
    const auto* const range = std::find_if(profile.ranges, end, [&](const mipha_trt_range& r) { return tensor.name == r.name; });
    if (range == end) refuse("profile: no range for input " + tensor.name);
    if (range->dims != static_cast<int32_t>(tensor.dims.size())) refuse("profile: " + tensor.name + " has another number of dimensions");
    for (int32_t i = 0; i < range->dims; ++i) {
      const int64_t fixed = tensor.dims[i].size, least = range->least[i], most = range->most[i];
      if (least < 0 || least > range->usual[i] || range->usual[i] > most) refuse("profile: " + tensor.name + ": expected least ≤ usual ≤ most");
      if (fixed >= 0 && (least != fixed || most != fixed)) refuse("profile: " + tensor.name + ": a fixed size was given a range");
    }
    ranges.push_back({{range->least, range->least + range->dims}, {range->most, range->most + range->dims}});
  }
  return ranges;
}

}  // namespace

void build(const mipha_trt_build& what, mipha_trt_progress progress, void* user) {
  const std::string segment = segment_of(what.graph);
  if (what.level < 0 || what.level > 5) refuse("level " + std::to_string(what.level) + ": expected 0..5");
  Plan plan;
  try {
    const MappedFile file(what.graph), weights(folder_of(what.graph) + "/weights.safetensors");
    const Onnx model = read_onnx({reinterpret_cast<const char*>(file.data()), file.bytes()});
    check_external(model, weights);
    const auto text = [&](const char* key) {
      const auto found = model.metadata.find(key);
      if (found == model.metadata.end()) refuse(std::string("metadata ") + key + " is missing");
      return found->second;
    };
    plan.graph = text("mipha.graph");
    plan.manifest = text("mipha.manifest");
    plan.calibration = text("mipha.calibration");
    const auto wide = model.metadata.find("mipha.wide");
    plan.wide = wide != model.metadata.end() && wide->second == "1";
    plan.tensors = model.tensors;
    for (int32_t i = 0; i < what.profile_count; ++i) plan.profiles.push_back(ranges_of(model, what.profiles[i]));
    if (plan.profiles.empty()) refuse("expected at least one profile");
    plan.weight_bytes = weights.bytes();
    plan.weights.resize((weights.bytes() + 7) / 8);
    std::memcpy(plan.weights.data(), weights.data(), weights.bytes());
  } catch (const Failure&) {
    throw;
  } catch (const std::exception& error) {
    refuse(std::string(what.graph) + ": " + error.what());
  }
  plan.tensorrt = setting("MIPHA_STANDIN_TENSORRT", kTensorRt);
  plan.gpu = setting("MIPHA_STANDIN_GPU", kGpu);
  plan.wrong = applies("MIPHA_STANDIN_WRONG", segment, what, plan.wide);

  const bool fails = applies("MIPHA_STANDIN_FAIL", segment, what, plan.wide);
  const bool starves = applies("MIPHA_STANDIN_OUT_OF_MEMORY", segment, what, plan.wide);
  const double fail_at = std::stod(setting("MIPHA_STANDIN_FAIL_AT", "0.5"));
  const auto pause = std::chrono::milliseconds(std::stoi(setting("MIPHA_STANDIN_SLOW", "0")) / kSteps);
  for (int step = 0; step <= kSteps; ++step) {
    const double fraction = static_cast<double>(step) / kSteps;
    if (progress != nullptr && progress(user, fraction, "choosing tactics") != 0) throw Failure(MIPHA_TRT_CANCELLED, "the build was ended");
    if (starves && fraction >= fail_at) throw Failure(MIPHA_TRT_MEMORY, "tactics needed 2000000000 bytes");
    if (fails && fraction >= fail_at) refuse("could not find any implementation for node " + segment);
    std::this_thread::sleep_for(pause);
  }
  const std::string bytes = plan.encode();
  std::ofstream out(what.plan, std::ios::binary);
  if (!out.write(bytes.data(), static_cast<std::streamsize>(bytes.size())).flush()) refuse(std::string("cannot write ") + what.plan);
  if (what.timing_cache != nullptr) std::ofstream(what.timing_cache, std::ios::app) << segment << " " << what.level << "\n";
}

}  // namespace mipha::standin
