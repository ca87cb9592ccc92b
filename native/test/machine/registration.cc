/// What the objects of nvcc call before main and at a launch: PTX is found in them, kernels are assembled when first launched.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "test/machine/execution.h"
#include "test/machine/machine.h"
#include "test/machine/streams.h"

namespace mipha::machine {
namespace {

/// The container that nvcc embeds, as far as it is read here: a header, then entries, each with its own header and payload.
struct Wrapper {
  int magic, version;
  const char* data;
  void* file;
};
struct Container {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t entry_bytes;
};
struct EntryHeader {
  uint16_t kind, version;
  uint32_t header_bytes;
  uint64_t payload_bytes;
  uint32_t compressed_bytes, unused;
  uint16_t minor, major;
  uint32_t architecture;
};
constexpr uint16_t kPtx = 1;

struct Loaded {
  std::string text;
  bool read = false;
  Module module;
};
struct Registered {
  Loaded* file;
  std::string name;
  std::unique_ptr<Kernel> kernel{};
  size_t shared_limit = 48 << 10;  // bytes, before cudaFuncSetAttribute
};
// From functions: registration runs before the globals of this file may exist.
std::deque<Loaded>& files() {
  static std::deque<Loaded> all;
  return all;
}
std::unordered_map<const void*, Registered>& functions() {
  static std::unordered_map<const void*, Registered> all;
  return all;
}

[[noreturn]] void no_ptx(const char* why) {
  std::fprintf(stderr, "an object of nvcc has no PTX for target %d (%s): -gencode arch=compute_%d,code=compute_%d --no-compress\n", options().target,
               why, options().target, options().target);
  std::abort();
}

std::string find_ptx(const char* data) {
  Container container;
  std::memcpy(&container, data, sizeof container);
  if (container.magic != 0xBA55ED50) no_ptx("not a container that is known here");
  const char* end = data + container.header_bytes + container.entry_bytes;
  for (const char* at = data + container.header_bytes; at < end;) {
    EntryHeader entry;
    std::memcpy(&entry, at, sizeof entry);
    const char* payload = at + entry.header_bytes;
    if (entry.kind == kPtx && entry.architecture == static_cast<uint32_t>(options().target)) {
      if (entry.compressed_bytes != 0) no_ptx("compressed");
      return {payload, strnlen(payload, entry.payload_bytes)};
    }
    at = payload + entry.payload_bytes;
  }
  no_ptx("none of its entries");
}

const Kernel& kernel_of(Registered& function) {
  if (!function.kernel) {
    Loaded& file = *function.file;
    if (!file.read) {
      file.module = read_module(file.text);
      file.read = true;
    }
    function.kernel = std::make_unique<Kernel>(assemble(file.module, file.module.functions.at(function.name)));
  }
  return *function.kernel;
}

int largest_shared() {
  int bytes = 0;
  cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
  return bytes;
}

cudaError_t launch(const void* function, const dim3& grid, const dim3& block, void** arguments, size_t shared, cudaStream_t stream) {
  const Entry held;
  const auto found = functions().find(function);
  if (found == functions().end()) return result(cudaErrorInvalidDeviceFunction);
  const Kernel& kernel = kernel_of(found->second);
  Launch launch{&kernel, {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared, std::vector<char>(kernel.parameter_bytes)};
  const bool grid_fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535;
  const bool block_fits = launch.block.count() > 0 && launch.block.count() <= 1024 && block.z <= 64;
  if (!grid_fits || !block_fits || kernel.shared_bytes + shared > found->second.shared_limit) return result(cudaErrorInvalidConfiguration);
  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    std::memcpy(launch.arguments.data() + kernel.parameters[i].offset, arguments[i], kernel.parameters[i].bytes);
  }
  return result(enqueue(stream, kernel.name, [launch] {
    Launch once = launch;  // a graph launches it again
    run(once);
  }));
}

}  // namespace
}  // namespace mipha::machine

using namespace mipha::machine;

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  const Entry held;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || functions().count(function) == 0) return result(cudaErrorInvalidValue);
  if (value < 0 || value > largest_shared()) return result(cudaErrorInvalidValue);
  functions().at(function).shared_limit = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
  return launch(function, grid, block, arguments, shared, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function, void** arguments) {
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const Entry held;
    if (config->attrs[i].id == cudaLaunchAttributeCooperative && config->attrs[i].val.cooperative == 0) continue;
    refuse(config->attrs[i].id == cudaLaunchAttributeCooperative ? "cooperative launches are not modelled: blocks run one after the other"
                                                                 : "a launch attribute that is not modelled");
    return result(cudaErrorNotSupported);
  }
  return launch(function, config->gridDim, config->blockDim, arguments, config->dynamicSmemBytes, config->stream);
}

namespace {
struct Configuration {
  dim3 grid, block;
  size_t shared;
  cudaStream_t stream;
};
std::vector<Configuration>& configurations() {  // of <<<>>>
  static thread_local std::vector<Configuration> all;
  return all;
}
}  // namespace

extern "C" {
void** __cudaRegisterFatBinary(void* wrapper) {
  files().push_back({find_ptx(static_cast<Wrapper*>(wrapper)->data)});
  return reinterpret_cast<void**>(&files().back());
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) {
  return 0;
}
void __cudaRegisterFunction(void** file, const char* host, char*, const char* name, int, void*, void*, void*, void*, int*) {
  functions()[host] = Registered{reinterpret_cast<Loaded*>(file), name};
}
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
  configurations().push_back({grid, block, shared, stream});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared, void* stream) {
  const Configuration top = configurations().back();
  configurations().pop_back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared, cudaStream_t stream) {
  return launch(reinterpret_cast<const void*>(kernel), grid, block, arguments, shared, stream);
}
}
