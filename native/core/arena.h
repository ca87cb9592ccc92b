// One slab of memory taken at load and handed out in pieces. The same layout code runs twice: first against an arena that only counts, which
// gives the plan, then against one that holds the memory, so the plan cannot disagree with what is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace mipha {

class Arena {
 public:
  static constexpr size_t kAlignment = 64;  // bytes: one cache line, one AVX-512 register

  /// Counts only; take() returns null.
  Arena() = default;
  /// Reserves `bytes` of zeroed memory from the system. Throws kMemory with neededBytes and availableBytes before touching anything.
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// The next `count` values, aligned to kAlignment. Lifetime: the arena's.
  template <typename T>
  T* take(size_t count) {
    return static_cast<T*>(take_bytes(count * sizeof(T)));
  }

  /// What was taken since the last mark (or the start) belongs to `name`.
  void mark(const std::string& name);

  size_t used() const { return used_; }
  const std::vector<std::pair<std::string, int64_t>>& parts() const { return parts_; }

 private:
  void* take_bytes(size_t bytes);

  uint8_t* base_ = nullptr;
  size_t capacity_ = 0, used_ = 0, marked_ = 0;
  std::vector<std::pair<std::string, int64_t>> parts_;  // name, bytes
};

}  // namespace mipha
