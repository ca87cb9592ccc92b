// A strict JSON reader (RFC 8259), just enough for safetensors headers and the manifest: no comments, no duplicate keys, valid UTF-8 only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mipha {

struct Json {
  enum class Kind { kNull, kBoolean, kNumber, kString, kArray, kObject };

  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string string;  // UTF-8, escapes resolved
  std::vector<Json> items;
  std::map<std::string, Json, std::less<>> members;

  /// The member of that name; null when this is no object or has none.
  const Json* find(std::string_view key) const;

  /// True when this is a whole number of at most 2^53 in magnitude, which a double holds exactly.
  bool is_integer() const;
};

constexpr int kMaxJsonDepth = 64;

/// One value and nothing after it. Throws kModelFormat naming `what`, the reason and the byte offset.
Json parse_json(std::string_view text, const std::string& what);

}  // namespace mipha
