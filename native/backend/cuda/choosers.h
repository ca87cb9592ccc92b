// What the device has been given to choose by, and which of it a step names: lists of candidates and constraints, each in a slot that whoever was
// wanted least lately gives up.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/interface.h"

namespace mipha::cuda {

/// Groups of a constraint as small numbers. `groups` 0: the device does not take it.
struct NumberedGroups {
  std::vector<int32_t> group, ends;
  int32_t groups = 0;
};
NumberedGroups number_groups(const Constraint& constraint);

/// Which bytes of a fixed room each constraint has on the device.
class ConstraintPlaces {
 public:
  /// Slot of a constraint that is there; −1.
  int find(const std::shared_ptr<const Constraint>& constraint);
  /// Makes room for one of so many bytes, taking the places of others, but for those that were found or placed since begin(). −1: there is none.
  int place(const std::shared_ptr<const Constraint>& constraint, size_t bytes);
  /// A new step.
  void begin() { step_ = clock_; }
  size_t offset(int slot) const { return held_.at(slot).begin; }
  void drop(int slot) { held_.at(slot) = {}; }

 private:
  struct Held {
    std::weak_ptr<const Constraint> constraint;  // owned by who asks: megabytes that nobody can ask for again do not stay
    size_t begin = 0, bytes = 0;                 // no bytes: free
    uint64_t used = 0;
  };
  bool gap(size_t bytes, size_t* begin) const;
  Held* least_used();

  std::array<Held, kConstraints> held_;
  uint64_t clock_ = 0, step_ = 0;
};

class Choosers {
 public:
  /// Uploads through `table`, which outlives this, as the engine does.
  Choosers(const Table& table, Engine* engine) : table_(table), engine_(engine) {}

  void set_vocabulary(const std::vector<std::vector<uint8_t>>& bytes, const std::vector<int32_t>& sorted, int vocab);

  /// `choosers` [count] as the device takes them. What it cannot choose by is left to the caller.
  void name(const Chooser* choosers, int count, StepChooser* named);

 private:
  struct List {
    Candidates candidates;
    uint64_t used = 0;
  };
  int list_of(const Candidates& candidates);
  int constraint_of(const std::shared_ptr<const Constraint>& constraint);

  const Table& table_;
  Engine* const engine_;
  bool has_vocabulary_ = false;
  std::array<List, kCandidateLists> lists_;
  ConstraintPlaces places_;
  uint64_t clock_ = 0;
};

}  // namespace mipha::cuda
