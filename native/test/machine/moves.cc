/// What copies registers: moves, packing, selection, address spaces; and fences, which only count.
#include "test/machine/lanes.h"

namespace mipha::machine {
namespace {

template <class T>
void move(Step& step) {
  const Instruction& in = step.instruction;
  if (in.rows.size() == 2) {
    Row &to = step.row(0), &from = step.row(1);
    for_lanes(step.lanes, [&](int l) { to[l] = put<T>(get<T>(from[l])); });
    return;
  }
  // "d, {a, b}" packs, "{a, b}, d" unpacks, the lowest bits first.
  const unsigned pieces = static_cast<unsigned>(in.elements), width = 8 * sizeof(T) / pieces;
  const uint64_t mask = (uint64_t{1} << width) - 1;
  const bool pack = in.text.find('{') > in.text.find(',');
  for_lanes(step.lanes, [&](int l) {
    uint64_t whole = pack ? 0 : get<T>(step.row(pieces)[l]);
    for (unsigned i = 0; i < pieces; ++i) {
      if (pack) {
        whole |= (step.row(1 + i)[l] & mask) << (i * width);
      } else {
        step.row(i)[l] = whole >> (i * width) & mask;
      }
    }
    if (pack) step.row(0)[l] = whole;
  });
}

/// Parameters of a call, behind the values: a row for each byte, since they may be read in other pieces than they were written.
template <bool kPass>
void move_bytes(Step& step) {
  const Instruction& in = step.instruction;
  const size_t count = static_cast<size_t>(in.elements), each = in.bits / 8;
  for_lanes(step.lanes, [&](int l) {
    for (size_t i = 0; i < count; ++i) {
      uint64_t value = kPass ? step.row(i)[l] : 0;
      for (size_t j = 0; j < each; ++j) {
        uint64_t& byte = step.row(count + i * each + j)[l];
        if (kPass) {
          byte = value >> (8 * j) & 0xFF;
        } else {
          value |= (byte & 0xFF) << (8 * j);
        }
      }
      if (!kPass) step.row(i)[l] = extended(value, in.type, in.bits);
    }
  });
}

void load_parameter(Step& step) {
  const Instruction& in = step.instruction;
  for (int i = 0; i < in.elements; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, step.block.launch->arguments.data() + in.offset + i * static_cast<int>(in.bits) / 8, in.bits / 8);
    value = extended(value, in.type, in.bits);
    Row& to = step.row(static_cast<size_t>(i));
    for_lanes(step.lanes, [&](int l) { to[l] = value; });
  }
}

/// The same through a register, per lane.
void load_parameter_at(Step& step) {
  const Instruction& in = step.instruction;
  const std::vector<char>& arguments = step.block.launch->arguments;
  const Row& address = step.row(static_cast<size_t>(in.elements));
  for_lanes(step.lanes, [&](int l) {
    const size_t at = static_cast<size_t>(address[l]) + static_cast<size_t>(in.offset), each = in.bits / 8;
    uint64_t values[4] = {};
    for (size_t i = 0; i < static_cast<size_t>(in.elements); ++i) {
      if (at + (i + 1) * each > arguments.size()) fault("an argument at byte %zu of %zu", at, arguments.size());
      std::memcpy(&values[i], arguments.data() + at + i * each, each);
    }
    for (size_t i = 0; i < static_cast<size_t>(in.elements); ++i) step.row(i)[l] = extended(values[i], in.type, in.bits);
  });
}

template <class T>
void select(Step& step) {
  Row &to = step.row(0), &a = step.row(1), &b = step.row(2), &predicate = step.row(3);
  for_lanes(step.lanes, [&](int l) { to[l] = put<T>(get<T>((predicate[l] & 1) != 0 ? a[l] : b[l])); });
}

template <bool kToShared>
void move_window(Step& step) {
  Row &to = step.row(0), &from = step.row(1);
  for_lanes(step.lanes, [&](int l) { to[l] = kToShared ? from[l] - kSharedWindow : from[l] + kSharedWindow; });
}

/// Orders what this thread wrote, and what others wrote before the last barrier.
void fence(Step& step) {
  Block& block = step.block;
  for (Thread& thread : block.threads) {
    if (thread.unfenced < block.sync) thread.unfenced = 0;
  }
  for_lanes(step.lanes, [&](int l) { block.threads[step.first_thread + static_cast<unsigned>(l)].unfenced = 0; });
}
void nothing(Step&) {}
void trap(Step&) {
  fault("trap");
}

}  // namespace

bool acquired(const Block& block, uint32_t other) {
  for (const void* word : block.met) {
    if (block.launch->published[word].count(other) != 0) return true;
  }
  return false;
}

void publish(Block& block, const void* word) {
  for (const Thread& thread : block.threads) {
    if (thread.unfenced != 0) return;
  }
  block.launch->published[word].insert(block.number);
}

void add_moves(Operations& all) {
  for (const char* type : {"b16", "u16", "s16"}) all[std::string("mov.") + type] = move<uint16_t>;
  for (const char* type : {"b32", "u32", "s32", "f32"}) all[std::string("mov.") + type] = move<uint32_t>;
  for (const char* type : {"b64", "u64", "s64"}) all[std::string("mov.") + type] = move<uint64_t>;
  all["mov.pred"] = move<uint8_t>;
  all["pass.bytes"] = move_bytes<true>;  // the assembler's own
  all["take.bytes"] = move_bytes<false>;
  all["ld.param"] = load_parameter;
  all["ld.param.register"] = load_parameter_at;
  for (const char* type : {"b16", "u16", "s16"}) all[std::string("selp.") + type] = select<uint16_t>;
  for (const char* type : {"b32", "u32", "s32", "f32"}) all[std::string("selp.") + type] = select<uint32_t>;
  for (const char* type : {"b64", "u64", "s64"}) all[std::string("selp.") + type] = select<uint64_t>;
  all["cvta.global.u64"] = all["cvta.to.global.u64"] = move<uint64_t>;
  all["cvta.shared.u64"] = move_window<false>;
  all["cvta.to.shared.u64"] = move_window<true>;
  for (const char* name : {"membar.gl", "membar.sys", "fence.acq_rel.gpu", "fence.acq_rel.sys", "fence.sc.gpu", "fence.sc.sys"}) all[name] = fence;
  for (const char* name : {"membar.cta", "fence.acq_rel.cta"}) all[name] = nothing;
  all["trap"] = trap;
}

}  // namespace mipha::machine
