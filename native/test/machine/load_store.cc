/// Loads and stores of shared and device memory.
#include "test/machine/addresses.h"

namespace mipha::machine {
namespace {

void load(Step& step) {
  const Instruction& in = step.instruction;
  const size_t count = static_cast<size_t>(in.elements), each = in.bits / 8;
  Row& address = step.row(count);
  Locator locate(step);
  for_lanes(step.lanes, [&](int l) {
    const char* from = locate(l, address[l], each * count, Access::kRead);
    uint64_t values[4] = {};
    for (size_t i = 0; i < count; ++i) std::memcpy(&values[i], from + i * each, each);
    for (size_t i = 0; i < count; ++i) step.row(i)[l] = extended(values[i], in.type, in.bits);
  });
}

void store(Step& step) {
  const Instruction& in = step.instruction;
  const size_t count = static_cast<size_t>(in.elements), each = in.bits / 8;
  Row& address = step.row(0);
  Locator locate(step);
  for_lanes(step.lanes, [&](int l) {
    char* to = locate(l, address[l], each * count, Access::kWrite);
    for (size_t i = 0; i < count; ++i) std::memcpy(to + i * each, &step.row(1 + i)[l], each);
  });
}

}  // namespace

char* Locator::operator()(int lane, uint64_t address, size_t bytes, Access access) {
  address += static_cast<uint64_t>(step_.instruction.offset);
  const unsigned thread = step_.first_thread + static_cast<unsigned>(lane);
  place.thread = thread;
  Space space = space_;
  if (space == Space::kGeneric && address >= kSharedWindow && address < kSharedWindow + (uint64_t{1} << 32)) {
    address -= kSharedWindow;
    space = Space::kShared;
  }
  char* at;
  if (space == Space::kShared) {
    region_ = &step_.block.shared;
    address &= 0xFFFFFFFF;  // a 32-bit register
    if (address >= region_->size)
      fault("%zu bytes at offset %llu of shared memory with %zu bytes: out of bounds", bytes, static_cast<unsigned long long>(address),
            region_->size);
    at = region_->base + address;
  } else {
    at = reinterpret_cast<char*>(address);
    if (region_ == nullptr || at < region_->base || at >= region_->base + region_->size) region_ = find(at);
  }
  check_access(step_.block, thread, region_, at, bytes, bytes, access);
  return at;
}

bool decode_memory(const std::vector<std::string>& parts, Instruction& in) {
  if (parts[0] != "ld" && parts[0] != "st") return false;
  in.elements = 1;
  for (size_t i = 1; i + 1 < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part == "shared" || part == "global") {
      in.space = part == "shared" ? Space::kShared : Space::kGlobal;
    } else if (part == "v2" || part == "v4") {
      in.elements = part[1] - '0';
    } else if (part != "nc" && part != "ca" && part != "cg" && part != "cs" && part != "cv" && part != "wb" && part.compare(0, 4, "L1::") != 0 &&
               part.compare(0, 4, "L2::") != 0) {
      return false;
    }
  }
  in.run = parts[0] == "ld" ? load : store;
  return read_type(parts.back(), in.type, in.bits) && in.type != 'p' && in.bits * static_cast<unsigned>(in.elements) <= 128;
}

}  // namespace mipha::machine
