#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "test/machine/ptx.h"

namespace mipha::machine {
namespace {

const char* const kSpecialNames[kSpecials] = {"%tid.x",   "%tid.y",   "%tid.z",    "%ntid.x",   "%ntid.y",   "%ntid.z", "%ctaid.x",
                                              "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid"};

/// ".param .align 8 .b8 name[24]" or ".shared .b32 name": name, alignment, bytes.
struct Declared {
  std::string name;
  size_t alignment, bytes;
};
Declared read_declaration(const std::string& text) {
  const auto words = split(text, " \t");
  Declared declared{words.back(), 0, 0};
  char type;
  unsigned bits = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool of_pointer = i > 0 && words[i - 1] == ".ptr";
    if (words[i] == ".align" && !of_pointer) declared.alignment = std::strtoul(words[i + 1].c_str(), nullptr, 10);
    if (words[i][0] == '.') read_type(words[i].substr(1), type, bits);
  }
  size_t count = 1;
  if (const size_t open = declared.name.find('['); open != std::string::npos) {
    count = std::strtoul(declared.name.c_str() + open + 1, nullptr, 10);
    declared.name.resize(open);
  }
  declared.bytes = bits / 8 * count;
  if (declared.alignment == 0) declared.alignment = bits / 8;
  return declared;
}

size_t align(size_t offset, size_t to) {
  return (offset + to - 1) / to * to;
}

class Assembler {
 public:
  Assembler(const Module& module, const Function& function) : module_(module) {
    kernel_.name = function.name;
    for (const char* name : kSpecialNames) rows_[name] = kernel_.rows++;
    for (const std::string& text : function.parameters) {
      const Declared declared = read_declaration(text);
      kernel_.parameter_bytes = align(kernel_.parameter_bytes, declared.alignment);
      parameters_[declared.name] = kernel_.parameter_bytes;
      kernel_.parameters.push_back({kernel_.parameter_bytes, declared.bytes});
      kernel_.parameter_bytes += declared.bytes;
    }
    for (const Statement& statement : function.body) declare_shared(statement.text);
    for (const std::string& variable : module.variables) declare_shared(variable);
    for (const std::string& name : dynamic_) symbols_[name] = kernel_.shared_bytes = align(kernel_.shared_bytes, 16);
    add_body(function, "", {});
    for (const auto& [at, label] : jumps_) kernel_.code[at].target = labels_.at(label);
  }
  Kernel take() { return std::move(kernel_); }

 private:
  using Names = std::unordered_map<std::string, std::string>;

  void declare_shared(const std::string& text) {
    const auto words = split(text, " \t");
    const bool external = words[0] == ".extern";
    if (words[external] != ".shared") return;
    const Declared declared = read_declaration(text);
    if (external) {
      dynamic_.push_back(declared.name);
      return;
    }
    kernel_.shared_bytes = align(kernel_.shared_bytes, declared.alignment);
    symbols_[declared.name] = kernel_.shared_bytes;
    kernel_.shared_bytes += declared.bytes;
  }

  /// Calls become the callee's code with registers of their own; `passed`: what its parameters and results are called by the caller.
  void add_body(const Function& function, const std::string& prefix, const Names& passed) {
    if (prefix.size() > 200) unknown({function.name, ""}, "recursion");
    const std::string end = prefix + "$end";
    for (const Statement& statement : function.body) {
      const std::string& text = statement.text;
      if (text.back() == ':') {
        labels_[prefix + text.substr(0, text.size() - 1)] = kernel_.code.size();
      } else if (text[0] == '.') {
        declare(statement, prefix);
      } else {
        add(statement, prefix, passed, end);
      }
    }
    labels_[end] = kernel_.code.size();
  }

  void declare(const Statement& statement, const std::string& prefix) {
    const auto words = split(statement.text, " \t,");
    if (words[0] == ".reg") {
      for (size_t i = 2; i < words.size(); ++i) declared_.insert(prefix + words[i].substr(0, words[i].find('<')));
    } else if (words[0] != ".shared" && words[0] != ".param" && words[0] != ".pragma") {
      unknown(statement, "declaration");  // .local: a stack frame, which kernels of this house must not have
    }
  }

  void add(const Statement& statement, const std::string& prefix, const Names& passed, const std::string& end) {
    Instruction in;
    in.text = statement.text;
    in.place = statement.place;
    std::string text = statement.text;
    if (text[0] == '@') {
      const size_t space = text.find_first_of(" \t");
      in.negated = text[1] == '!';
      in.predicate = row(statement, prefix, text.substr(in.negated ? 2 : 1, space - (in.negated ? 2 : 1)));
      text = text.substr(text.find_first_not_of(" \t", space));
    }
    const size_t space = std::min(text.find_first_of(" \t"), text.size());
    const std::string name = text.substr(0, space), rest = text.substr(space);
    const auto parts = split(name, ".");
    if (parts[0] == "call") return call(statement, prefix, passed, rest);
    if (parts[0] == "bra") {
      in.kind = Instruction::kBranch;
      jumps_.push_back({kernel_.code.size(), prefix + split(rest, " \t")[0]});
    } else if (name == "ret" && !prefix.empty()) {
      in.kind = Instruction::kBranch;
      jumps_.push_back({kernel_.code.size(), end});
    } else if (name == "ret" || name == "exit") {
      in.kind = Instruction::kReturn;
    } else if (name == "bar.sync" || name == "barrier.sync") {
      if (in.predicate >= 0 || split(rest, " \t,") != std::vector<std::string>{"0"}) unknown(statement, "only barrier 0, for all threads");
      in.kind = Instruction::kBarrier;
    } else if (parts.size() >= 2 && parts[1].compare(0, 5, "param") == 0) {
      access_parameter(statement, prefix, passed, parts, rest, in);
    } else {
      operands(statement, prefix, rest, in);
      decode(statement, name, parts, in);
    }
    kernel_.code.push_back(std::move(in));
  }

  /// ld.param of a kernel reads its arguments; of and around calls, every byte of a parameter is a register named "parameter+offset".
  void access_parameter(const Statement& statement, const std::string& prefix, const Names& passed, const std::vector<std::string>& parts,
                        const std::string& rest, Instruction& in) {
    const size_t open = rest.find('['), close = rest.find(']');
    const auto address = split(rest.substr(open + 1, close - open - 1), "+ ");
    operands(statement, prefix, rest.substr(0, open) + rest.substr(close + 1), in);
    const size_t offset = address.size() > 1 ? std::strtoul(address[1].c_str(), nullptr, 10) : 0;
    const bool vector = parts.size() == 4 && parts[2][0] == 'v';
    if (!read_type(parts.back(), in.type, in.bits) || (parts.size() != 3 && !vector)) unknown(statement, "access to a parameter");
    in.elements = vector ? parts[2][1] - '0' : 1;
    if (parts[0] == "ld" && prefix.empty() && parameters_.count(address[0])) {
      in.offset = static_cast<int64_t>(parameters_[address[0]] + offset);
      in.run = operations().at("ld.param");
      return;
    }
    if (parts[0] == "ld" && address[0][0] == '%') {  // of an argument whose address was taken
      in.rows.push_back(row(statement, prefix, address[0]));
      in.offset = static_cast<int64_t>(offset);
      in.run = operations().at("ld.param.register");
      return;
    }
    const auto renamed = passed.find(address[0]);
    const std::string name = renamed == passed.end() ? prefix + address[0] : renamed->second;
    for (size_t i = 0; i < static_cast<size_t>(in.elements) * in.bits / 8; ++i) {
      const std::string byte = name + "+" + std::to_string(offset + i);
      if (!rows_.count(byte)) rows_[byte] = kernel_.rows++;
      in.rows.push_back(rows_[byte]);
    }
    in.run = operations().at(parts[0] == "ld" ? "take.bytes" : "pass.bytes");
  }

  /// "(retval0), name, (param0, param1)"
  void call(const Statement& statement, const std::string& prefix, const Names& passed, const std::string& rest) {
    std::vector<std::string> results, words = split(rest, " \t,");
    auto list = [](std::string text) { return split(text, " \t,()"); };
    std::string text = rest;
    const size_t name_from = text[text.find_first_not_of(" \t")] == '(' ? text.find(')') + 1 : 0;
    if (name_from > 0) results = list(text.substr(0, name_from));
    const size_t open = text.find('(', name_from);
    const auto name = split(text.substr(name_from, open == std::string::npos ? open : open - name_from), " \t,");
    const auto arguments = open == std::string::npos ? std::vector<std::string>{} : list(text.substr(open));
    const auto callee = name.size() == 1 ? module_.functions.find(name[0]) : module_.functions.end();
    if (callee == module_.functions.end() || statement.text[0] == '@') unknown(statement, "a call of what is not in this module");
    const Function& function = callee->second;
    Names inner;
    const auto bind = [&](const std::vector<std::string>& declared, const std::vector<std::string>& given) {
      if (declared.size() != given.size()) unknown(statement, "a call with other arguments than declared");
      for (size_t i = 0; i < given.size(); ++i) {
        const auto renamed = passed.find(given[i]);
        inner[read_declaration(declared[i]).name] = renamed == passed.end() ? prefix + given[i] : renamed->second;
      }
    };
    bind(function.results, results);
    bind(function.parameters, arguments);
    add_body(function, prefix + "call" + std::to_string(calls_++) + ":", inner);
  }

  void operands(const Statement& statement, const std::string& prefix, const std::string& rest, Instruction& in) {
    const size_t open = rest.find('{');
    if (open != std::string::npos) in.elements = static_cast<int>(split(rest.substr(open + 1, rest.find('}') - open - 1), ", \t").size());
    bool bracket = false;
    for (std::string word : split(rest, " \t,{}|;")) {
      bracket = bracket || word[0] == '[';
      if (bracket) {
        const bool closes = word.back() == ']';
        word = split(word, "[]")[0];
        if (const size_t plus = word.find('+', 1); plus != std::string::npos) {
          in.offset = std::strtoll(word.c_str() + plus + 1, nullptr, 0);
          word.resize(plus);
        }
        bracket = !closes;
      }
      in.rows.push_back(row(statement, prefix, word));
    }
  }

  int row(const Statement& statement, const std::string& prefix, const std::string& word) {
    const bool constant = std::isdigit(word[0]) || word[0] == '-';
    const bool special = word[0] == '%' && word.find('.') != std::string::npos;
    const bool global = constant || special || word == "%laneid" || symbols_.count(word);
    const std::string key = global ? word : prefix + word;
    const auto known = rows_.find(key);
    if (known != rows_.end()) return known->second;
    if (prefix.empty() && parameters_.count(word)) {  // its address: how far it is from the first argument
      kernel_.constants.push_back({kernel_.rows, parameters_[word]});
    } else if (constant || symbols_.count(word)) {
      kernel_.constants.push_back({kernel_.rows, constant ? constant_value(statement, word) : symbols_[word]});
    } else if (word != "_") {
      const size_t digits = word.find_last_not_of("0123456789") + 1;
      if (!declared_.count(key) && !declared_.count(prefix + word.substr(0, digits))) unknown(statement, "operand " + word);
    }
    return rows_[key] = kernel_.rows++;
  }

  static uint64_t constant_value(const Statement& statement, const std::string& word) {
    if (word.compare(0, 2, "0d") == 0 || word.compare(0, 2, "0D") == 0) unknown(statement, "double precision");
    if (word.compare(0, 2, "0f") == 0 || word.compare(0, 2, "0F") == 0) return std::strtoull(word.c_str() + 2, nullptr, 16);
    char* end;
    const uint64_t value = word[0] == '-' ? static_cast<uint64_t>(std::strtoll(word.c_str(), &end, 0)) : std::strtoull(word.c_str(), &end, 0);
    if (*end != 0 && *end != 'U') unknown(statement, "constant " + word);
    return value;
  }

  static void decode(const Statement& statement, const std::string& name, const std::vector<std::string>& parts, Instruction& in) {
    const auto exact = operations().find(name);
    if (exact != operations().end()) {
      in.run = exact->second;
      return;
    }
    const bool known = decode_memory(parts, in) || decode_atomic(parts, in) || decode_conversion(parts, in) || decode_copy(parts, in);
    if (!known) unknown(statement, "instruction");
  }

  const Module& module_;
  Kernel kernel_;
  std::unordered_map<std::string, int> rows_;
  std::unordered_map<std::string, std::vector<bool>> claimed_;             // bytes of parameters of calls
  std::unordered_map<std::string, size_t> parameters_, labels_, symbols_;  // symbols: shared variables, by offset
  std::vector<std::string> dynamic_;                                       // shared variables without a size
  std::unordered_set<std::string> declared_;
  std::vector<std::pair<size_t, std::string>> jumps_;
  int calls_ = 0;
};

}  // namespace

bool read_type(const std::string& word, char& type, unsigned& bits) {
  if (word == "pred") {
    type = 'p';
    bits = 1;
    return true;
  }
  if (word.size() < 2 || word.size() > 3 || std::strchr("usfb", word[0]) == nullptr) return false;
  if (word.find_first_not_of("0123456789", 1) != std::string::npos) return false;
  type = word[0];
  bits = static_cast<unsigned>(std::strtoul(word.c_str() + 1, nullptr, 10));
  return true;
}

void unknown(const Statement& statement, const std::string& why) {
  std::fprintf(stderr, "the machine does not know this PTX (%s): %s [%s]\n", why.c_str(), statement.text.c_str(), statement.place.c_str());
  std::abort();
}

const Operations& operations() {
  static const Operations all = [] {
    Operations table;
    for (auto add : {add_integer, add_bits, add_float, add_moves, add_exchange, add_tensor}) add(table);
    return table;
  }();
  return all;
}

Kernel assemble(const Module& module, const Function& function) {
  return Assembler(module, function).take();
}

}  // namespace mipha::machine
