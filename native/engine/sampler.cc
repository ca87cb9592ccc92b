#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace mipha {

uint64_t Random::next() {
  uint64_t word = state_ += 0x9e3779b97f4a7c15u;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
  return word ^ (word >> 31);
}

double Random::uniform() {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

double log_sum_exp(const std::vector<float>& logits) {
  if (logits.empty()) return -std::numeric_limits<double>::infinity();
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float logit : logits) sum += std::exp(logit - largest);
  return largest + std::log(sum);
}

int Sampler::choose(const std::vector<float>& logits) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (sampling_.temperature <= 0 || logits.size() == 1) return static_cast<int>(largest - logits.begin());

  std::vector<double> weights(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) weights[i] = std::exp((static_cast<double>(logits[i]) - *largest) / sampling_.temperature);
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);

  std::vector<int> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  // The nucleus: the heaviest candidates whose share reaches top_p. A heap gives them one by one, because mostly few are needed of many.
  double kept = total;
  size_t count = order.size();
  if (sampling_.top_p < 1) {
    const auto lighter = [&](int a, int b) { return weights[a] != weights[b] ? weights[a] < weights[b] : a > b; };
    std::make_heap(order.begin(), order.end(), lighter);
    kept = 0;
    for (count = 0; count < order.size() && (count == 0 || kept < sampling_.top_p * total); ++count) {
      std::pop_heap(order.begin(), order.end() - static_cast<std::ptrdiff_t>(count), lighter);
      kept += weights[order[order.size() - 1 - count]];
    }
    std::reverse(order.begin(), order.end());
  }

  double remaining = random_.uniform() * kept;
  for (size_t i = 0; i + 1 < count; ++i) {
    remaining -= weights[order[i]];
    if (remaining < 0) return order[i];
  }
  return order[count - 1];
}

}  // namespace mipha
