/// cp.async: what it copies arrives when its group is waited for, and not before.
#include "test/machine/addresses.h"

namespace mipha::machine {
namespace {

void each_word(const Copy& copy, uint32_t block) {
  const size_t offset = static_cast<size_t>(copy.to - copy.region->base);
  for (size_t i = offset / 4; i < (offset + copy.size) / 4; ++i) copy.region->cells[i].copy_block = block;
}

/// "[to], [from], size" and, where fewer bytes are to be read and the rest is to become zeros, their number.
void issue(Step& step) {
  const Instruction& in = step.instruction;
  Row &to = step.row(0), &from = step.row(1);
  const unsigned size = static_cast<unsigned>(step.row(2)[__builtin_ctz(step.lanes)]);
  Locator shared(step, Space::kShared), global(step, Space::kGlobal);
  for_lanes(step.lanes, [&](int l) {
    Thread& thread = step.block.threads[step.first_thread + static_cast<unsigned>(l)];
    const unsigned bytes = in.rows.size() > 3 ? static_cast<unsigned>(step.row(3)[l]) : size;
    if (bytes > size) fault("cp.async of %u bytes out of %u", bytes, size);
    char* at = shared(l, to[l], size, Access::kWrite);
    const char* source = reinterpret_cast<const char*>(from[l]);
    if (bytes > 0) {
      if (from[l] % size != 0) fault("access of %u bytes at %p is misaligned", size, static_cast<const void*>(source));
      check_access(step.block, place.thread, find(source), source, bytes, 1, Access::kRead);
    }
    std::memset(at, 0xDB, size);
    const Copy copy{at, source, &step.block.shared, size, bytes, thread.group};
    each_word(copy, step.block.number);
    thread.copies.push_back(copy);
  });
}

void arrive(Block& block, unsigned index, int open_groups) {
  Thread& thread = block.threads[index];
  size_t kept = 0;
  for (const Copy& copy : thread.copies) {
    if (copy.group >= thread.group - open_groups) {
      thread.copies[kept++] = copy;
      continue;
    }
    std::memcpy(copy.to, copy.from, copy.bytes);
    std::memset(copy.to + copy.bytes, 0, copy.size - copy.bytes);
    each_word(copy, 0);
    check_words(block, index, copy.region, static_cast<size_t>(copy.to - copy.region->base), copy.size,
                Access::kWrite);  // seen by this thread; others need a barrier
  }
  thread.copies.resize(kept);
}

void commit(Step& step) {
  for_lanes(step.lanes, [&](int l) { ++step.block.threads[step.first_thread + static_cast<unsigned>(l)].group; });
}
void wait(Step& step, int open_groups) {
  for_lanes(step.lanes, [&](int l) {
    place.thread = step.first_thread + static_cast<unsigned>(l);
    arrive(step.block, place.thread, open_groups);
  });
}
void wait_group(Step& step) {
  wait(step, static_cast<int>(step.row(0)[__builtin_ctz(step.lanes)]));
}
void wait_all(Step& step) {
  wait(step, -1);
}  // what is not committed too

}  // namespace

bool decode_copy(const std::vector<std::string>& parts, Instruction& in) {
  if (parts.size() < 3 || parts[0] != "cp" || parts[1] != "async") return false;
  if (parts.size() == 3) {
    in.run = parts[2] == "commit_group" ? commit : parts[2] == "wait_group" ? wait_group : parts[2] == "wait_all" ? wait_all : nullptr;
    return in.run != nullptr;
  }
  if ((parts[2] != "ca" && parts[2] != "cg") || parts.size() < 5 || parts[3] != "shared" || parts[4] != "global") return false;
  for (size_t i = 5; i < parts.size(); ++i) {
    if (parts[i].compare(0, 4, "L2::") != 0) return false;
  }
  in.run = issue;
  return in.rows.size() == 3 || in.rows.size() == 4;
}

}  // namespace mipha::machine
