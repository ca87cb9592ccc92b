// A stand-in for a processor with AMX: the instructions of amx_tiles.h, which trap here as unknown, are carried out as Intel's manual (SDM volume 2)
// says, by the bytes that stand in the program. So it is the shipped machine code that runs, between the compiler's own loads and stores. What the
// manual forbids, and what is no such instruction, ends the process with words.
#pragma once

#include <signal.h>
#include <time.h>
#include <ucontext.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mipha::test {

struct TileCounts {
  int configurations = 0, loads = 0, products = 0, stores = 0;
};

struct EmulatedTile {
  static constexpr int kMostRows = 16, kMostBytes = 64;
  int rows = 0, row_bytes = 0;
  uint8_t bytes[kMostRows][kMostBytes] = {};
};

/// Of one thread.
struct TileState {
  static constexpr int kTiles = 8;
  bool configured = false;
  EmulatedTile tiles[kTiles];
  TileCounts counts;
  int64_t last_ms = 0;  // when it last used a tile
};

/// Takes SIGILL of all threads while it lives; only where the processor has no AMX. One at a time.
class TileMachine {
 public:
  TileMachine() {
    struct sigaction action = {};
    action.sa_sigaction = on_unknown_instruction;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, &before_);
  }
  ~TileMachine() { sigaction(SIGILL, &before_, nullptr); }
  TileMachine(const TileMachine&) = delete;
  TileMachine& operator=(const TileMachine&) = delete;

  /// Of the calling thread.
  static bool holds_tiles() { return state_.configured; }
  static TileCounts take_counts() {
    const TileCounts counts = state_.counts;
    state_.counts = {};
    return counts;
  }
  /// From now on tiles are zero after a pause of this length, as under a system that loses them; 0: never.
  static void forget_after_ms(int ms) { forget_after_ms_ = ms; }

 private:
  using Tile = EmulatedTile;
  static constexpr int kTiles = TileState::kTiles, kMostRows = Tile::kMostRows, kMostBytes = Tile::kMostBytes;

  static void demand(bool fine, const char* what) {
    if (fine) return;
    std::fprintf(stderr, "AMX: %s\n", what);
    std::_Exit(1);
  }

  static void on_unknown_instruction(int, siginfo_t*, void* context) {
    greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    const auto* code = reinterpret_cast<const uint8_t*>(registers[REG_RIP]);
    demand(code[0] == 0xc4 && code[1] == 0xe2 && !(code[2] & 0x84), "an unknown instruction that is none of AMX, or one with other registers");
    forget_if_late();
    auto* memory = reinterpret_cast<uint8_t*>(registers[REG_RAX]);
    registers[REG_RIP] += carry_out(code[3], code[2] & 3, 15 - (code[2] >> 3 & 15), code[4], code[5], memory, registers[REG_RDX]);
  }

  /// Returns the length of the instruction. `prefix`: 0 none, 1 66, 2 F3, 3 F2; `third`: the operand in the VEX prefix; `modes`: ModRM; `sib` follows
  /// it.
  static int carry_out(int opcode, int prefix, int third, int modes, int sib, uint8_t* memory, int64_t stride) {
    const int mode = modes >> 6, first = modes >> 3 & 7, second = modes & 7;
    demand(third == 0 || opcode == 0x5e, "an operand too many");
    if (opcode == 0x49 && prefix == 0 && modes == 0x00) return configure(memory), 5;
    if (opcode == 0x49 && prefix == 0 && modes == 0xc0) return release(), 5;
    if (opcode == 0x49 && prefix == 3 && mode == 3 && second == 0) return clear(usable(first)), 5;
    if (opcode == 0x4b && prefix == 3 && mode == 0 && second == 4 && sib == 0x10) return load(usable(first), memory, stride), 6;
    if (opcode == 0x4b && prefix == 2 && mode == 0 && second == 4 && sib == 0x10) return store(usable(first), memory, stride), 6;
    if (opcode == 0x5e && prefix == 3 && mode == 3 && third < kTiles) return multiply(first, second, third), 5;
    demand(false, "an instruction that this machine does not know");
    return 0;
  }

  static void configure(const uint8_t* memory) {
    demand(memory[0] == 1 && memory[1] == 0, "a palette other than 1, or a start row");
    TileState& state = state_;
    for (int at = 2; at < 64; ++at)
      demand((at >= 16 && at < 32) || (at >= 48 && at < 56) || memory[at] == 0, "reserved bytes of a configuration are not zero");
    for (int i = 0; i < kTiles; ++i) {
      Tile& tile = state.tiles[i];
      tile = {};
      tile.rows = memory[48 + i];
      tile.row_bytes = memory[16 + 2 * i] | memory[17 + 2 * i] << 8;
      demand(tile.rows <= kMostRows && tile.row_bytes <= kMostBytes, "a tile larger than 16 rows of 64 bytes");
      demand((tile.rows == 0) == (tile.row_bytes == 0), "a tile with rows and without columns, or the reverse");
    }
    state.configured = true;
    ++state.counts.configurations;
  }

  static void release() {
    TileState& state = state_;
    for (Tile& tile : state.tiles) tile = {};
    state.configured = false;
  }

  static Tile& usable(int index) {
    demand(state_.configured, "a tile is used without a configuration");
    Tile& tile = state_.tiles[index];
    demand(tile.rows > 0, "a tile is used that the configuration gives no rows");
    return tile;
  }

  static void clear(Tile& tile) { std::memset(tile.bytes, 0, sizeof tile.bytes); }

  static void load(Tile& tile, const uint8_t* memory, int64_t stride) {
    clear(tile);
    for (int row = 0; row < tile.rows; ++row) std::memcpy(tile.bytes[row], memory + row * stride, tile.row_bytes);
    ++state_.counts.loads;
  }

  static void store(const Tile& tile, uint8_t* memory, int64_t stride) {
    for (int row = 0; row < tile.rows; ++row) std::memcpy(memory + row * stride, tile.bytes[row], tile.row_bytes);
    ++state_.counts.stores;
  }

  static void multiply(int sums_index, int left_index, int right_index) {
    demand(sums_index != left_index && sums_index != right_index && left_index != right_index, "a product of one tile and itself");
    Tile &sums = usable(sums_index), &left = usable(left_index), &right = usable(right_index);
    demand(sums.row_bytes % 4 == 0 && left.row_bytes % 4 == 0 && right.row_bytes % 4 == 0, "a product of tiles whose rows are no whole words");
    demand(sums.rows == left.rows && sums.row_bytes == right.row_bytes && left.row_bytes / 4 == right.rows, "a product of tiles that do not fit");
    for (int m = 0; m < sums.rows; ++m) {
      uint32_t row[kMostBytes / 4];
      std::memcpy(row, sums.bytes[m], sizeof row);
      for (int k = 0; k < left.row_bytes; ++k) {
        const int a = static_cast<int8_t>(left.bytes[m][k]);
        const uint8_t* b = right.bytes[k / 4] + k % 4;
        for (int n = 0; n < sums.row_bytes / 4; ++n) row[n] += static_cast<uint32_t>(a * static_cast<int8_t>(b[4 * n]));
      }
      std::memcpy(sums.bytes[m], row, sizeof row);
    }
    ++state_.counts.products;
  }

  static void forget_if_late() {
    if (forget_after_ms_ == 0) return;
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t ms = now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
    if (ms - state_.last_ms >= forget_after_ms_) {
      for (Tile& tile : state_.tiles) clear(tile);
    }
    state_.last_ms = ms;
  }

  static inline thread_local TileState state_;
  static inline int forget_after_ms_ = 0;
  struct sigaction before_;
};

}  // namespace mipha::test
