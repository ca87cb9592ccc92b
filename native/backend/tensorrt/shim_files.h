// Files that the shim reads and writes whole.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace mipha::trt {

/// The bytes of a file; empty when it cannot be read.
std::vector<char> read_file(const std::string& path);

/// Writes a file in place, on the disk when it returns. Throws MIPHA_TRT_ARGUMENT with the path, the bytes and the reason.
void write_file(const std::string& path, const void* data, size_t bytes);

}  // namespace mipha::trt
