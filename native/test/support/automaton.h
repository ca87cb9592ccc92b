// Constraints for tests, from the spellings of their values.
#pragma once

#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace mipha::testing {

/// Every byte in a column of its own.
inline std::vector<uint8_t> all_bytes() {
  std::vector<uint8_t> column(256);
  std::iota(column.begin(), column.end(), uint8_t{0});
  return column;
}

/// A tree of the spellings: value i is spelled by each of spellings[i]. Groups are the sets of values still reachable.
inline Constraint choice(const std::vector<std::vector<std::string>>& spellings) {
  std::vector<std::map<uint8_t, int>> edges(1);
  std::vector<std::set<int>> reachable(1);
  std::map<int, int> ended;  // state → value
  for (size_t value = 0; value < spellings.size(); ++value) {
    for (const std::string& spelling : spellings[value]) {
      int state = 0;
      reachable[0].insert(static_cast<int>(value));
      for (const char c : spelling) {
        const auto [edge, fresh] = edges[state].emplace(static_cast<uint8_t>(c), static_cast<int>(edges.size()));
        state = edge->second;
        if (fresh) {
          edges.emplace_back();
          reachable.emplace_back();
        }
        reachable[state].insert(static_cast<int>(value));
      }
      ended[state] = static_cast<int>(value);
    }
  }
  Constraint constraint;
  constraint.states = static_cast<int>(edges.size());
  constraint.column = all_bytes();
  constraint.next.assign(edges.size() * 256, -1);
  // Group 0 is every value, so that the one that is fixed text is it too.
  std::map<std::set<int>, int> groups = {{reachable[0], 0}};
  for (size_t state = 0; state < edges.size(); ++state) {
    for (const auto& [byte, target] : edges[state]) constraint.next[state * 256 + byte] = target;
    constraint.accepting.push_back(ended.count(static_cast<int>(state)) != 0);
    constraint.group.push_back(groups.emplace(reachable[state], static_cast<int>(groups.size())).first->second);
    constraint.ends.push_back(ended.count(static_cast<int>(state)) == 0 || spellings.size() == 1
                                  ? 0
                                  : groups.emplace(std::set<int>{ended[static_cast<int>(state)]}, static_cast<int>(groups.size())).first->second);
    constraint.decided.push_back(reachable[state].size() == 1);
  }
  return constraint;
}

inline std::vector<std::vector<uint8_t>> vocabulary(const std::vector<std::string>& tokens) {
  std::vector<std::vector<uint8_t>> bytes;
  for (const std::string& token : tokens) bytes.emplace_back(token.begin(), token.end());
  return bytes;
}

}  // namespace mipha::testing
