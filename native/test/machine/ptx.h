/// PTX as text becomes kernels whose instructions know what to call.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace mipha::machine {

/// A register of a warp, one value per lane, zero-extended; predicates are 0 or 1. Constants and special registers are rows too.
using Row = uint64_t[32];

struct Step;
using Operation = void (*)(Step&);

enum class Space { kGeneric, kGlobal, kShared };
/// Shared memory as generic addresses see it: no pointer of the process lies there.
constexpr uint64_t kSharedWindow = uint64_t{1} << 60;

struct Instruction {
  enum Kind { kPlain, kBranch, kReturn, kBarrier };
  Kind kind = kPlain;
  Operation run = nullptr;
  int predicate = -1;  // row
  bool negated = false;
  std::vector<int> rows;  // operands as written, destinations first
  int64_t offset = 0;     // of the address, or of the parameter
  int target = -1;        // of a branch
  Space space = Space::kGeneric;
  int elements = 1;           // of a vector, loaded, stored, packed or unpacked
  char type = 0, source = 0;  // u s f b p; source: of a conversion
  unsigned bits = 0, source_bits = 0;
  char rounding = 0;  // n z m p, 0 without
  bool saturate = false;
  std::string text, place;  // place: file:line of the source, where it is known
};

struct Parameter {
  size_t offset, bytes;
};

struct Kernel {
  std::string name;
  std::vector<Instruction> code;
  int rows = 0;
  std::vector<std::pair<int, uint64_t>> constants;  // row, value of all lanes
  std::vector<Parameter> parameters;
  size_t parameter_bytes = 0;
  size_t shared_bytes = 0;  // static; dynamic memory lies behind it
};

/// Rows that every kernel begins with, in this order.
enum Special { kTidX, kTidY, kTidZ, kNtidX, kNtidY, kNtidZ, kCtaidX, kCtaidY, kCtaidZ, kNctaidX, kNctaidY, kNctaidZ, kLaneid, kSpecials };

// ---- text ----

struct Statement {
  std::string text;   // without the semicolon; a label keeps its colon
  std::string place;  // in the source
};
/// An .entry or a .func as it is written.
struct Function {
  bool is_kernel;
  std::string name;
  std::vector<std::string> results, parameters;  // declarations
  std::vector<Statement> body;
};
struct Module {
  std::unordered_map<std::string, Function> functions;
  std::vector<std::string> variables;  // declarations outside functions
};
Module read_module(const std::string& text);
std::vector<std::string> split(const std::string& text, const char* separators);

// ---- kernels ----

/// Assembles a kernel, calls inlined. Ends the process at whatever it does not know.
Kernel assemble(const Module& module, const Function& function);
[[noreturn]] void unknown(const Statement& statement, const std::string& why);

/// By exact name ("add.s32"), so that no modifier is passed over.
using Operations = std::unordered_map<std::string, Operation>;
const Operations& operations();
void add_integer(Operations& all);
void add_bits(Operations& all);
void add_float(Operations& all);
void add_moves(Operations& all);
void add_exchange(Operations& all);
void add_tensor(Operations& all);
/// Names with many modifiers: true when all parts are known; fills in the instruction.
bool decode_memory(const std::vector<std::string>& parts, Instruction& instruction);
bool decode_atomic(const std::vector<std::string>& parts, Instruction& instruction);
bool decode_conversion(const std::vector<std::string>& parts, Instruction& instruction);
bool decode_copy(const std::vector<std::string>& parts, Instruction& instruction);
/// "s32" → 's', 32. False for other words.
bool read_type(const std::string& word, char& type, unsigned& bits);

}  // namespace mipha::machine
