#include "backend/cuda/choosers.h"

#include <algorithm>
#include <unordered_map>

#include "backend/cuda/library.h"

namespace mipha::cuda {
namespace {

template <class Call>
void run(Call&& call) {
  Failure failure = {};
  check(call(&failure), failure);
}

}  // namespace

NumberedGroups number_groups(const Constraint& constraint) {
  std::unordered_map<int32_t, int32_t> numbers = {{0, 0}};
  NumberedGroups numbered;
  bool known = true;
  const auto number = [&](int32_t group, bool may_be_text) {
    if (group == -1 && may_be_text) return int32_t{-1};
    if (group < 0) known = false;
    return numbers.emplace(group, static_cast<int32_t>(numbers.size())).first->second;
  };
  for (const int32_t group : constraint.group) numbered.group.push_back(number(group, true));
  for (const int32_t group : constraint.ends) numbered.ends.push_back(number(group, false));
  if (known && numbers.size() <= kMostGroups) numbered.groups = static_cast<int32_t>(numbers.size());
  return numbered;
}

int ConstraintPlaces::find(const std::shared_ptr<const Constraint>& constraint) {
  const auto same =
      std::find_if(held_.begin(), held_.end(), [&](const Held& held) { return held.bytes > 0 && held.constraint.lock() == constraint; });
  if (same == held_.end()) return -1;
  same->used = ++clock_;
  return static_cast<int>(same - held_.begin());
}

int ConstraintPlaces::place(const std::shared_ptr<const Constraint>& constraint, size_t bytes) {
  if (bytes > kConstraintBytes) return -1;
  for (;;) {
    const auto empty = std::find_if(held_.begin(), held_.end(), [](const Held& held) { return held.bytes == 0; });
    size_t begin = 0;
    if (empty != held_.end() && gap(bytes, &begin)) {
      *empty = {constraint, begin, bytes, ++clock_};
      return static_cast<int>(empty - held_.begin());
    }
    Held* const least = least_used();
    if (least == nullptr) return -1;
    *least = {};
  }
}

/// The first run of free bytes that is long enough.
bool ConstraintPlaces::gap(size_t bytes, size_t* begin) const {
  std::vector<const Held*> there;
  for (const Held& held : held_) {
    if (held.bytes > 0) there.push_back(&held);
  }
  std::sort(there.begin(), there.end(), [](const Held* a, const Held* b) { return a->begin < b->begin; });
  *begin = 0;
  for (const Held* held : there) {
    if (held->begin - *begin >= bytes) return true;
    *begin = held->begin + held->bytes;
  }
  return kConstraintBytes - *begin >= bytes;
}

/// Null when this step needs all that are there.
ConstraintPlaces::Held* ConstraintPlaces::least_used() {
  Held* least = nullptr;
  for (Held& held : held_) {
    if (held.bytes > 0 && held.used <= step_ && (least == nullptr || held.used < least->used)) least = &held;
  }
  return least;
}

void Choosers::set_vocabulary(const std::vector<std::vector<uint8_t>>& bytes, const std::vector<int32_t>& sorted, int vocab) {
  std::vector<uint8_t> all;
  std::vector<uint32_t> begins = {0};
  for (const int32_t id : sorted) {
    all.insert(all.end(), bytes[id].begin(), bytes[id].end());
    begins.push_back(static_cast<uint32_t>(all.size()));
  }
  // Longer words than any vocabulary has: constraints are left to the caller.
  has_vocabulary_ = all.size() <= kWordBytes * vocab;
  if (!has_vocabulary_) return;
  const VocabularyView view{all.data(), begins.data(), sorted.data(), static_cast<int32_t>(sorted.size())};
  run([&](Failure* failure) { return table_.vocabulary(engine_, &view, failure); });
}

void Choosers::name(const Chooser* choosers, int count, StepChooser* named) {
  places_.begin();
  for (int i = 0; i < count; ++i) {
    const Chooser& chooser = choosers[i];
    named[i] = {-1, -1, chooser.state, chooser.tokens_left, 0, {}};
    if (chooser.stop_ids != nullptr) {
      if (chooser.stop_ids->size() > kMostStops) continue;
      named[i].stop_count = static_cast<int32_t>(chooser.stop_ids->size());
      std::copy(chooser.stop_ids->begin(), chooser.stop_ids->end(), named[i].stops);
    }
    if (chooser.candidates)
      named[i].list = list_of(chooser.candidates);
    else if (chooser.constraint)
      named[i].constraint = constraint_of(chooser.constraint);
  }
}

/// Where the device has these candidates; they take the place of those that were wanted least lately.
int Choosers::list_of(const Candidates& candidates) {
  const auto same = std::find_if(lists_.begin(), lists_.end(), [&](const List& list) { return list.candidates == candidates; });
  const auto list =
      same != lists_.end() ? same : std::min_element(lists_.begin(), lists_.end(), [](const List& a, const List& b) { return a.used < b.used; });
  const int slot = static_cast<int>(list - lists_.begin());
  if (same == lists_.end()) {
    list->candidates = nullptr;
    run([&](Failure* failure) { return table_.candidates(engine_, slot, candidates->data(), static_cast<int32_t>(candidates->size()), failure); });
    list->candidates = candidates;
  }
  list->used = ++clock_;
  return slot;
}

/// Where the device has this constraint; −1 when it cannot have it.
int Choosers::constraint_of(const std::shared_ptr<const Constraint>& constraint) {
  if (!has_vocabulary_) return -1;
  if (const int slot = places_.find(constraint); slot >= 0) return slot;
  ConstraintView view{constraint->column.data(),
                      constraint->next.data(),
                      nullptr,
                      nullptr,
                      constraint->accepting.data(),
                      constraint->decided.data(),
                      constraint->states,
                      static_cast<int32_t>(constraint->columns()),
                      0};
  if (view.bytes() > kConstraintBytes) return -1;
  const NumberedGroups numbered = number_groups(*constraint);
  if (numbered.groups == 0) return -1;
  view.group = numbered.group.data();
  view.ends = numbered.ends.data();
  view.groups = numbered.groups;
  const int slot = places_.place(constraint, view.bytes());
  if (slot < 0) return -1;
  try {
    run([&](Failure* failure) { return table_.constraint(engine_, slot, places_.offset(slot), &view, failure); });
  } catch (...) {
    places_.drop(slot);
    throw;
  }
  return slot;
}

}  // namespace mipha::cuda
