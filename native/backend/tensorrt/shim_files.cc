#include "backend/tensorrt/shim_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "backend/tensorrt/shim_errors.h"

namespace mipha::trt {

std::vector<char> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const void* data, size_t bytes) {
  constexpr size_t kPiece = size_t{1} << 30;  // write() takes less than 2 GiB at once
  size_t written = 0;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  bool good = file >= 0;
  while (good && written < bytes) {
    const ssize_t count = write(file, static_cast<const char*>(data) + written, std::min(bytes - written, kPiece));
    if (count < 0 && errno == EINTR) continue;
    good = count >= 0;
    if (good) written += static_cast<size_t>(count);
  }
  good = good && fsync(file) == 0;
  const int reason = errno;
  if (file >= 0) close(file);
  if (good) return;
  throw Failure(MIPHA_TRT_FILE,
                path + ": cannot write " + std::to_string(bytes) + " bytes, " + std::to_string(written) + " were written: " + std::strerror(reason));
}

}  // namespace mipha::trt
