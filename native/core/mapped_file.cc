#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "core/error.h"

namespace mipha {
namespace {

struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) close(value);
  }
};

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // non-blocking: a named pipe must not stop us here
  if (file.value < 0) throw Error(Code::kModelMissing, "cannot open " + path + ": " + std::strerror(errno));
  struct stat status;
  if (fstat(file.value, &status) != 0) throw Error(Code::kModelMissing, "cannot read " + path + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode)) throw Error(Code::kModelFormat, path + " is not a regular file");
  bytes_ = static_cast<size_t>(status.st_size);
  if (bytes_ == 0) return;
  void* const map = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file.value, 0);
  if (map == MAP_FAILED) {
    throw Error(Code::kMemory, "cannot map " + path + ": " + std::strerror(errno), {{"neededBytes", static_cast<double>(bytes_)}});
  }
  data_ = static_cast<std::byte*>(map);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

void MappedFile::release(const void* data, size_t bytes) const {
  const auto base = reinterpret_cast<uintptr_t>(data_), from = reinterpret_cast<uintptr_t>(data);
  if (data_ == nullptr || from < base || from - base > bytes_ || bytes > bytes_ - (from - base)) return;
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t first = (from + page - 1) / page * page, last = (from + bytes) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace mipha
