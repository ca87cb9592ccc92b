// What the CUDA backend keeps of what it has given the device to choose by. The device is a table that writes down what it is told.
#include "backend/cuda/choosers.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <numeric>
#include <set>
#include <string>

#include "core/error.h"
#include "test/support/automaton.h"

namespace mipha::cuda {
namespace {

TEST(ConstraintPlaces, ThoseThatFitTogetherStay) {
  ConstraintPlaces places;
  const auto a = std::make_shared<const Constraint>(), b = std::make_shared<const Constraint>(), c = std::make_shared<const Constraint>();
  const size_t half = kConstraintBytes / 2;
  places.begin();
  const int of_a = places.place(a, half), of_b = places.place(b, half);
  EXPECT_EQ(places.find(a), of_a);
  EXPECT_EQ(places.find(b), of_b);
  EXPECT_NE(places.offset(of_a), places.offset(of_b));
  EXPECT_EQ(places.place(c, 256), -1);  // this step needs both
  places.begin();
  EXPECT_EQ(places.find(a), of_a);
  const int of_c = places.place(c, 256);  // takes the place of b
  EXPECT_EQ(places.find(b), -1);
  EXPECT_EQ(places.find(a), of_a);
  EXPECT_EQ(places.offset(of_c), half);
  EXPECT_EQ(places.place(b, kConstraintBytes + 256), -1);
}

TEST(ConstraintPlaces, OnlySoManyAtATime) {
  ConstraintPlaces places;
  std::vector<std::shared_ptr<const Constraint>> all;
  std::set<size_t> offsets;
  for (int i = 0; i < kConstraints + 4; ++i) {
    places.begin();
    all.push_back(std::make_shared<const Constraint>());
    const int slot = places.place(all.back(), 512);
    ASSERT_GE(slot, 0);
    offsets.insert(places.offset(slot));
  }
  EXPECT_EQ(offsets.size(), static_cast<size_t>(kConstraints));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(places.find(all[i]), -1) << i;
  for (int i = 4; i < kConstraints + 4; ++i) EXPECT_GE(places.find(all[i]), 0) << i;
}

TEST(NumberGroups, KeepsWhichAreTheSame) {
  Constraint constraint;
  constraint.group = {-1, 0, 700000, 9, 700000};
  constraint.ends = {0, 9, 0, 12, 0};
  const NumberedGroups numbered = number_groups(constraint);
  EXPECT_EQ(numbered.group, (std::vector<int32_t>{-1, 0, 1, 2, 1}));
  EXPECT_EQ(numbered.ends, (std::vector<int32_t>{0, 2, 0, 3, 0}));
  EXPECT_EQ(numbered.groups, 4);
  constraint.ends[0] = -3;
  EXPECT_EQ(number_groups(constraint).groups, 0);
  constraint.ends[0] = 0;
  constraint.group.resize(kMostGroups + 10);
  std::iota(constraint.group.begin(), constraint.group.end(), 0);
  EXPECT_EQ(number_groups(constraint).groups, 0);
}

}  // namespace

/// What the device has been given.
struct Engine {
  std::map<int32_t, std::vector<int32_t>> lists;
  std::map<int32_t, std::pair<size_t, const int32_t*>> constraints;  // offset, and which: its transitions
  std::string words;                                                 // "id bytes, …"
  int uploads = 0;
  bool fails = false;

  Status told(Failure* failure) {
    ++uploads;
    if (!fails) return kOk;
    std::snprintf(failure->words, sizeof failure->words, "CUDA: lost");
    return status_of(Code::kDevice);
  }
};

namespace {

Table recording() {
  Table table = {};
  table.candidates = [](Engine* device, int32_t slot, const int32_t* ids, int32_t count, Failure* failure) {
    if (!device->fails) device->lists[slot].assign(ids, ids + count);
    return device->told(failure);
  };
  table.vocabulary = [](Engine* device, const VocabularyView* view, Failure* failure) {
    device->words.clear();
    for (int32_t i = 0; i < view->count; ++i) {
      const std::string bytes(view->bytes + view->begins[i], view->bytes + view->begins[i + 1]);
      device->words += std::to_string(view->ids[i]) + " " + bytes + ", ";
    }
    return device->told(failure);
  };
  table.constraint = [](Engine* device, int32_t slot, size_t offset, const ConstraintView* view, Failure* failure) {
    device->constraints[slot] = {offset, view->next};
    return device->told(failure);
  };
  return table;
}

Candidates list_of(int first) {
  return std::make_shared<const std::vector<int32_t>>(std::vector<int32_t>{first, first + 1});
}
Chooser from(Candidates candidates) {
  Chooser chooser;
  chooser.candidates = std::move(candidates);
  return chooser;
}
Chooser under(std::shared_ptr<const Constraint> constraint) {
  Chooser chooser;
  chooser.constraint = std::move(constraint);
  return chooser;
}
/// Of a state more than `count`.
std::shared_ptr<const Constraint> constraint_of(int count) {
  return std::make_shared<const Constraint>(mipha::testing::choice({{std::string(static_cast<size_t>(count), 'a')}}));
}

class ChoosersTest : public ::testing::Test {
 protected:
  StepChooser name(const Chooser& chooser) {
    StepChooser named = {};
    choosers.name(&chooser, 1, &named);
    return named;
  }
  void tell_words() { choosers.set_vocabulary({{'b'}, {}, {'a', 'b'}, {'a'}}, {3, 2, 0}, 4); }

  Engine device;
  const Table table = recording();
  Choosers choosers{table, &device};
};

TEST_F(ChoosersTest, AListIsUploadedOnceAndFoundAgain) {
  std::vector<Chooser> batch;
  for (int i = 0; i < kCandidateLists; ++i) batch.push_back(from(list_of(10 * i)));
  std::vector<StepChooser> named(batch.size());
  for (const int round : {0, 1}) {
    choosers.name(batch.data(), kCandidateLists, named.data());
    for (int i = 0; i < kCandidateLists; ++i) EXPECT_EQ(device.lists.at(named[i].list), *batch[i].candidates) << round;
    EXPECT_EQ(device.uploads, kCandidateLists) << round;
  }
  EXPECT_GE(name(from(list_of(0))).list, 0);  // the same ids, and yet another list
  EXPECT_EQ(device.uploads, kCandidateLists + 1);
}

TEST_F(ChoosersTest, TheListThatWasWantedLeastLatelyGivesUpItsPlace) {
  std::vector<Candidates> lists;
  std::vector<int32_t> slots;
  for (int i = 0; i < kCandidateLists; ++i) {
    lists.push_back(list_of(10 * i));
    slots.push_back(name(from(lists.back())).list);
  }
  name(from(lists[0]));
  const Candidates more = list_of(500);
  EXPECT_EQ(name(from(more)).list, slots[1]);
  EXPECT_EQ(name(from(lists[0])).list, slots[0]);
  EXPECT_EQ(name(from(lists[1])).list, slots[2]);
  EXPECT_EQ(name(from(more)).list, slots[1]);
  EXPECT_EQ(device.lists.at(slots[2]), *lists[1]);
}

TEST_F(ChoosersTest, WhatDidNotArriveIsNotThere) {
  std::vector<Candidates> lists;
  for (int i = 0; i < kCandidateLists; ++i) {
    lists.push_back(list_of(10 * i));
    name(from(lists.back()));
  }
  tell_words();
  const auto constraint = constraint_of(3);
  device.fails = true;
  EXPECT_THROW(name(from(list_of(500))), Error);  // in the place of the first
  EXPECT_THROW(name(under(constraint)), Error);
  device.fails = false;
  const int before = device.uploads;
  EXPECT_EQ(device.lists.at(name(from(lists[0])).list), *lists[0]);
  EXPECT_EQ(device.uploads, before + 1);
  EXPECT_GE(name(under(constraint)).constraint, 0);
  EXPECT_EQ(device.uploads, before + 2);
}

TEST_F(ChoosersTest, AConstraintNeedsWordsAndAPlace) {
  const auto constraint = constraint_of(3);
  EXPECT_EQ(name(under(constraint)).constraint, -1);
  tell_words();
  EXPECT_EQ(device.words, "3 a, 2 ab, 0 b, ");
  const int32_t slot = name(under(constraint)).constraint;
  ASSERT_GE(slot, 0);
  EXPECT_EQ(device.constraints.at(slot).second, constraint->next.data());
  EXPECT_EQ(name(under(constraint)).constraint, slot);
  EXPECT_EQ(device.uploads, 2);
  EXPECT_EQ(name(under(constraint_of(8200))).constraint, -1);  // of more bytes than all of them may have
  choosers.set_vocabulary({std::vector<uint8_t>(65, 'a'), {}, {}, {}}, {0}, 4);
  EXPECT_EQ(name(under(constraint)).constraint, -1);
}

/// Those of one step have places of their own, whatever they push out.
TEST_F(ChoosersTest, ConstraintsOfOneStepStayTogether) {
  tell_words();
  std::vector<std::shared_ptr<const Constraint>> all;
  for (int i = 0; i < 7; ++i) all.push_back(constraint_of(1500));  // five fit
  for (int first = 0; first < 7; ++first) {
    std::vector<Chooser> batch;
    for (int i = 0; i < 6; ++i) batch.push_back(under(all[(first + i) % 7]));
    std::vector<StepChooser> named(6);
    choosers.name(batch.data(), 6, named.data());
    std::set<int32_t> slots;
    std::set<size_t> offsets;
    for (int i = 0; i < 6; ++i) {
      const int32_t slot = named[i].constraint;
      if (slot < 0) continue;
      slots.insert(slot);
      offsets.insert(device.constraints.at(slot).first);
      EXPECT_EQ(device.constraints.at(slot).second, all[(first + i) % 7]->next.data());
    }
    EXPECT_EQ(slots.size(), 5u);
    EXPECT_EQ(offsets.size(), 5u);
  }
}

TEST_F(ChoosersTest, StopsAndWhatIsLeftToTheCaller) {
  std::vector<int32_t> stops(kMostStops);
  std::iota(stops.begin(), stops.end(), 100);
  Chooser chooser = from(list_of(1));
  chooser.state = 5;
  chooser.tokens_left = 7;
  chooser.stop_ids = &stops;
  StepChooser named = name(chooser);
  EXPECT_GE(named.list, 0);
  EXPECT_EQ(named.constraint, -1);
  EXPECT_EQ(named.state, 5);
  EXPECT_EQ(named.tokens_left, 7);
  EXPECT_EQ(std::vector<int32_t>(named.stops, named.stops + named.stop_count), stops);
  stops.push_back(200);  // more than the device looks for
  named = name(chooser);
  EXPECT_EQ(named.list, -1);
  EXPECT_EQ(named.constraint, -1);
  named = name({});
  EXPECT_EQ(named.list, -1);
  EXPECT_EQ(named.constraint, -1);
}

}  // namespace
}  // namespace mipha::cuda
