#include "backend/cuda/library.h"

#include <dlfcn.h>

#include <cstring>

#include "backend/library_file.h"
#include "core/error.h"

namespace mipha::cuda {
namespace {

constexpr const char* kRebuild = "; compile it again: npm run build:cuda";

const Table& open_table(const std::string& path) {
  void* const file = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (file == nullptr) throw Error(Code::kBackend, std::string("CUDA: ") + dlerror() + "; `mipha doctor` says what this machine needs");
  const auto get = reinterpret_cast<const Table* (*)()>(dlsym(file, kInterfaceSymbol));
  if (get == nullptr) throw Error(Code::kBackend, "CUDA: " + path + " has no " + kInterfaceSymbol);
  const Table& table = *get();
  if (table.version != kInterfaceVersion) {
    throw Error(Code::kBackend, "CUDA: " + path + ": expected interface " + std::to_string(kInterfaceVersion) + ", received " +
                                    std::to_string(table.version) + kRebuild);
  }
  if (std::memcmp(&table.sizes, &kSizes, sizeof kSizes) != 0)
    throw Error(Code::kBackend, "CUDA: " + path + " was built from other sources" + kRebuild);
  return table;
}

}  // namespace

std::string default_library() {
  return library_file("MIPHA_CUDA", "mipha_cuda.so");
}

Library::Library(const std::string& path) : table_(open_table(path)) {}

Facts Library::facts() const {
  Facts facts = {};
  Failure failure = {};
  check(table_.facts(&facts, &failure), failure);
  return facts;
}

void check(Status status, const Failure& failure) {
  if (status == kOk) return;
  const std::string words = failure.words, prefix = "CUDA: ";
  const std::string message = words.compare(0, prefix.size(), prefix) == 0 ? words : prefix + words;
  const Code code = static_cast<Code>(status - 1);
  if (code != Code::kMemory) throw Error(code, message);
  throw Error(code, message, {{"neededBytes", failure.needed_bytes}, {"availableBytes", failure.available_bytes}});
}

template <class Body>
int Callbacks::kept(Body&& body) {
  try {
    return body() ? 1 : 0;
  } catch (...) {
    if (!thrown_) thrown_ = std::current_exception();
    return 1;
  }
}

int Callbacks::ask(void* self) {
  auto& callbacks = *static_cast<Callbacks*>(self);
  return callbacks.kept([&] { return callbacks.cancelled && callbacks.cancelled(); });
}

int Callbacks::told(void* self, const char* stage, double fraction) {
  auto& callbacks = *static_cast<Callbacks*>(self);
  return callbacks.kept([&] {
    if (callbacks.progress) callbacks.progress(stage, fraction);
    return false;
  });
}

void Callbacks::released(void* self, const void* data, size_t bytes) {
  auto& callbacks = *static_cast<Callbacks*>(self);
  callbacks.kept([&] {
    callbacks.release(data, bytes);
    return false;
  });
}

void Callbacks::seen(void* self, const char* name, const float* data, int32_t rows, int32_t columns) {
  auto& callbacks = *static_cast<Callbacks*>(self);
  callbacks.kept([&] {
    callbacks.probe(name, data, rows, columns);
    return false;
  });
}

void Callbacks::rethrow() {
  if (!thrown_) return;
  std::rethrow_exception(std::exchange(thrown_, nullptr));
}

}  // namespace mipha::cuda
