// Seeded damage to a string of bytes: what a truncated download, a flipped bit or a careless editor does to a file. For tests of parsers.
#pragma once

#include <algorithm>
#include <random>
#include <string>

namespace mipha::test {

inline std::string mutate(std::string bytes, std::mt19937* random) {
  const auto below = [&](size_t limit) { return limit == 0 ? 0 : static_cast<size_t>((*random)() % limit); };
  for (size_t rounds = 1 + below(3); rounds > 0; --rounds) {
    switch (below(5)) {
      case 0:  // truncate
        bytes.resize(below(bytes.size() + 1));
        break;
      case 1:  // flip a bit
        if (!bytes.empty()) bytes[below(bytes.size())] ^= static_cast<char>(1u << below(8));
        break;
      case 2:  // overwrite with a character that means something to a parser
        if (!bytes.empty()) bytes[below(bytes.size())] = "{}[]\",:0123456789-.eE\\ntu"[below(25)];
        break;
      case 3: {  // splice a piece of itself in somewhere else
        const std::string piece = bytes.substr(below(bytes.size() + 1), below(40));
        bytes.insert(below(bytes.size() + 1), piece);
        break;
      }
      default:  // cut a piece out
        bytes.erase(below(bytes.size() + 1), below(40));
    }
  }
  return bytes;
}

}  // namespace mipha::test
