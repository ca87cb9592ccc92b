// A file as read-only memory.
#pragma once

#include <cstddef>
#include <string>

namespace mipha {

class MappedFile {
 public:
  /// Maps a regular file. Throws kModelMissing when it is absent or unreadable, kModelFormat when it is no regular file, kMemory when it
  /// cannot be mapped; the message names the path.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }  // null when the file is empty
  size_t bytes() const { return bytes_; }

  /// Gives the memory of the whole pages inside [data, data + bytes) back to the system; they come back from the file when read again.
  /// A range that is not inside the map is left alone.
  void release(const void* data, size_t bytes) const;

 private:
  std::string path_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace mipha
