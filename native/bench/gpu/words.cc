#include "bench/gpu/words.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <string>

namespace mipha::cuda::bench {

MadeUpWords made_up_words(int count) {
  MadeUpWords words;
  std::minstd_rand numbers(1);
  for (int id = 0; id < count; ++id) {
    std::vector<uint8_t>& word = words.bytes.emplace_back();
    if (id < 256) {
      word = {static_cast<uint8_t>(id)};
      continue;
    }
    const size_t letters = 2 + numbers() % 7;
    if (numbers() % 2 == 0) word.push_back(' ');
    while (word.size() < letters) word.push_back(static_cast<uint8_t>('a' + numbers() % 26));
  }
  words.sorted.resize(count);
  std::iota(words.sorted.begin(), words.sorted.end(), 0);
  std::stable_sort(words.sorted.begin(), words.sorted.end(), [&](int32_t a, int32_t b) { return words.bytes[a] < words.bytes[b]; });
  return words;
}

std::shared_ptr<const Constraint> any_text() {
  constexpr int kStates = 64;  // in a ring, longer than any word: none leads back to where it began, which would be no transition
  Constraint text;
  text.states = kStates;
  text.column.assign(256, 0);
  for (int state = 0; state < kStates; ++state) text.next.push_back((state + 1) % kStates);
  text.accepting.assign(kStates, 1);
  text.group.assign(kStates, -1);
  text.ends.assign(kStates, 0);
  text.decided.assign(kStates, 0);
  return std::make_shared<const Constraint>(std::move(text));
}

std::shared_ptr<const Constraint> true_or_false() {
  const std::string values[] = {"true", "false"};
  Constraint choice;
  choice.column.assign(256, 0);
  for (const std::string& value : values)
    for (const char letter : value) choice.column[static_cast<uint8_t>(letter)] = static_cast<uint8_t>(letter - 'a' + 1);
  const size_t columns = choice.columns();
  const auto state = [&](int32_t group, int32_t ends) {
    choice.next.insert(choice.next.end(), columns, -1);
    choice.accepting.push_back(ends != 0 ? 1 : 0);
    choice.group.push_back(group);
    choice.ends.push_back(ends);
    choice.decided.push_back(0);
    return choice.states++;
  };
  const auto leads = [&](int32_t from, char letter, int32_t to) { choice.next[from * columns + choice.column[static_cast<uint8_t>(letter)]] = to; };
  const int32_t start = state(0, 0);
  std::vector<int32_t> firsts, lasts;
  for (int32_t group = 1; group <= 2; ++group) {
    const std::string& value = values[group - 1];
    int32_t at = start;
    for (size_t i = 0; i < value.size(); ++i) {
      const int32_t next = state(group, i + 1 == value.size() ? group : 0);
      leads(at, value[i], next);
      if (i == 0) firsts.push_back(next);
      at = next;
    }
    lasts.push_back(at);
  }
  for (const int32_t last : lasts)
    for (size_t i = 0; i < firsts.size(); ++i) leads(last, values[i][0], firsts[i]);
  return std::make_shared<const Constraint>(std::move(choice));
}

}  // namespace mipha::cuda::bench
