#include "backend/tensorrt/library.h"

#include <dlfcn.h>

#include <algorithm>

#include "core/error.h"
#include "core/mapped_file.h"

namespace mipha::tensorrt {
namespace {

constexpr const char* kHint = "; `mipha doctor` says what this machine needs";

/// Never closed: neither the CUDA runtime nor TensorRT survives being unloaded.
const mipha_trt_table& open_table(const std::string& path) {
  void* const file = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) throw Error(Code::kBackend, std::string("TensorRT: ") + dlerror() + kHint);
  const auto get = reinterpret_cast<const mipha_trt_table* (*)()>(dlsym(file, "mipha_trt_interface"));
  if (get == nullptr) throw Error(Code::kBackend, "TensorRT: " + path + " has no mipha_trt_interface");
  const mipha_trt_table& table = *get();
  if (table.version == MIPHA_TRT_VERSION) return table;
  throw Error(Code::kBackend, "TensorRT: " + path + ": expected interface " + std::to_string(MIPHA_TRT_VERSION) + ", received " +
                                  std::to_string(table.version) + "; compile it again: npm rebuild mipha-edge (in a clone: npm run setup)");
}

std::string name_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::string suffix = ".plan";
  const bool plain = file.size() > suffix.size() && file.compare(file.size() - suffix.size(), suffix.size(), suffix) == 0;
  return plain ? file.substr(0, file.size() - suffix.size()) : file;
}

int forward_progress(void* user, double fraction, const char* what) {
  const auto& progress = *static_cast<const BuildProgress*>(user);
  return progress && progress(what, fraction) ? 1 : 0;
}

}  // namespace

Library::Library(const std::string& path) : table_(&open_table(path)) {
  char words[1024] = "";
  const mipha_trt_status status = table_->open(&trt_, words, sizeof words);
  if (status == MIPHA_TRT_OK) return;
  const std::string message = "TensorRT: " + std::string(words);
  if (status == MIPHA_TRT_MEMORY) throw Error(Code::kMemory, message);
  throw Error(Code::kBackend, message + kHint);
}

Library::~Library() {
  table_->close(trt_);
}

void Library::check(mipha_trt_status status, const std::string& what) const {
  if (status == MIPHA_TRT_OK) return;
  const std::string message = "TensorRT: " + what + ": " + table_->error(trt_);
  switch (status) {
    case MIPHA_TRT_UNAVAILABLE:
      throw Error(Code::kBackend, message + kHint);
    case MIPHA_TRT_MEMORY:
      throw Error(Code::kMemory, message);
    case MIPHA_TRT_DEVICE:
    case MIPHA_TRT_BUILD:
      throw Error(Code::kDevice, message);
    case MIPHA_TRT_PLAN:
      throw Error(Code::kBackend, message + "; build it again: mipha build");
    case MIPHA_TRT_FILE:
      throw Error(Code::kOption, message);
    case MIPHA_TRT_CANCELLED:
      throw Error(Code::kDisposed, "TensorRT: " + what + ": cancelled");
    default:
      throw Error(Code::kInternal, message);
  }
}

mipha_trt_facts Library::library_facts() const {
  mipha_trt_facts facts = {};
  check(table_->facts(trt_, &facts), "facts");
  return facts;
}

DeviceFacts Library::facts() const {
  const mipha_trt_facts facts = library_facts();
  return {facts.gpu, facts.compute_capability, facts.cuda_runtime, facts.cuda_driver, facts.integrated != 0, facts.total_bytes, facts.free_bytes};
}

void* Library::allocate(size_t bytes, const std::string& what) const {
  void* memory = nullptr;
  const mipha_trt_status status = table_->allocate(trt_, bytes, &memory);
  if (status == MIPHA_TRT_MEMORY) {
    throw Error(Code::kMemory, "TensorRT: " + what + ": " + table_->error(trt_),
                {{"neededBytes", static_cast<double>(bytes)}, {"availableBytes", static_cast<double>(facts().free_bytes)}});
  }
  check(status, what);
  return memory;
}

void Library::release(void* memory) const noexcept {
  table_->release(trt_, memory);
}

void Library::build(const BuildRequest& request, const BuildProgress& progress) const {
  std::vector<std::vector<mipha_trt_range>> ranges;
  std::vector<mipha_trt_profile> profiles;
  for (const auto& profile : request.profiles) {
    std::vector<mipha_trt_range>& out = ranges.emplace_back();
    for (const Range& range : profile) {
      const size_t dims = range.least.size();
      if (dims > MIPHA_TRT_DIMS || range.usual.size() != dims || range.most.size() != dims) {
        throw Error(Code::kOption, "profiles." + range.name + ": expected at most " + std::to_string(MIPHA_TRT_DIMS) + " sizes, thrice as many");
      }
      mipha_trt_range& plain = out.emplace_back();
      plain.name = range.name.c_str();
      plain.dims = static_cast<int32_t>(dims);
      std::copy_n(range.least.data(), dims, plain.least);
      std::copy_n(range.usual.data(), dims, plain.usual);
      std::copy_n(range.most.data(), dims, plain.most);
    }
  }
  for (const auto& profile : ranges) profiles.push_back({profile.data(), static_cast<int32_t>(profile.size())});

  mipha_trt_build what = {};
  what.graph = request.graph.c_str();
  what.plan = request.plan.c_str();
  what.timing_cache = request.timing_cache.empty() ? nullptr : request.timing_cache.c_str();
  what.switches = request.switches ? request.switches->c_str() : nullptr;
  what.workspace_bytes = request.workspace_bytes;
  what.level = request.level;
  what.profiles = profiles.data();
  what.profile_count = static_cast<int32_t>(profiles.size());
  BuildProgress listener = progress;
  check(table_->build(trt_, &what, forward_progress, &listener), "build of " + name_of(request.graph));
}

void Library::copy_in(void* device, const void* host, size_t bytes) const {
  if (bytes > 0) check(table_->copy(trt_, device, host, bytes, MIPHA_TRT_TO_DEVICE), "copy");
}

void Library::copy_out(void* host, const void* device, size_t bytes) const {
  if (bytes > 0) check(table_->copy(trt_, host, device, bytes, MIPHA_TRT_FROM_DEVICE), "copy");
}

void Library::copy_inside(void* to, const void* from, size_t bytes) const {
  if (bytes > 0) check(table_->copy(trt_, to, from, bytes, MIPHA_TRT_ON_DEVICE), "copy");
}

void Library::wait() const {
  check(table_->wait(trt_), "run");
}

Engine::Engine(const Library& library, const std::string& plan) : library_(library), name_(name_of(plan)) {
  const MappedFile file(plan);
  library.check(library.table().load(library.handle(), file.data(), file.bytes(), &engine_), plan);
  for (int32_t index = 0;; ++index) {
    mipha_trt_tensor tensor = {};
    if (library.table().describe(engine_, 0, index, &tensor) != MIPHA_TRT_OK) break;
    tensors_.push_back(tensor);
  }
}

Engine::~Engine() {
  library_.table().unload(engine_);
}

int Engine::profiles() const {
  return library_.table().profiles(engine_);
}

const mipha_trt_tensor* Engine::find(const std::string& tensor) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(), [&](const mipha_trt_tensor& t) { return tensor == t.name; });
  return found == tensors_.end() ? nullptr : &*found;
}

size_t Engine::scratch_bytes() const {
  return static_cast<size_t>(library_.table().scratch_bytes(engine_));
}

int64_t Engine::weight_bytes() const {
  return library_.table().weight_bytes(engine_);
}

void Engine::bind_input(int profile, const std::string& tensor, const std::vector<int64_t>& dims, void* device) const {
  const auto& table = library_.table();
  library_.check(table.bind(engine_, profile, tensor.c_str(), dims.data(), static_cast<int32_t>(dims.size()), device), name_ + ": " + tensor);
}

void Engine::bind_output(int profile, const std::string& tensor, void* device) const {
  library_.check(library_.table().bind(engine_, profile, tensor.c_str(), nullptr, 0, device), name_ + ": " + tensor);
}

void Engine::run(int profile, const DeviceBuffer& scratch) const {
  library_.check(library_.table().run(engine_, profile, scratch.data(), static_cast<int64_t>(scratch.bytes())), name_);
}

}  // namespace mipha::tensorrt
