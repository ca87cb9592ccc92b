#include <cstring>
#include <sstream>

#include "test/machine/ptx.h"

namespace mipha::machine {
namespace {

bool starts(const std::string& text, const char* with) {
  return text.compare(0, std::strlen(with), with) == 0;
}

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

/// The names of .file directives by their numbers; these come behind the code.
std::unordered_map<std::string, std::string> file_names(const std::string& text) {
  std::unordered_map<std::string, std::string> names;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line = trim(line);
    if (!starts(line, ".file")) continue;
    const size_t open = line.find('"'), close = line.rfind('"');
    const std::string path = line.substr(open + 1, close - open - 1);
    names[split(line, " \t")[1]] = path.substr(path.rfind('/') + 1);
  }
  return names;
}

/// ".loc 2 81 5, function_name $x, inlined_at 1 10 3" → "b.h:81, inlined at a.cu:10"
std::string place_of(const std::string& line, const std::unordered_map<std::string, std::string>& files) {
  const auto words = split(line, " \t,");
  const auto at = [&](size_t i) { return files.at(words[i]) + ":" + words[i + 1]; };
  for (size_t i = 3; i + 2 < words.size(); ++i) {
    if (words[i] == "inlined_at") return at(1) + ", inlined at " + at(i + 1);
  }
  return at(1);
}

/// Declarations between the parentheses that open at `from`; moves `from` behind them.
std::vector<std::string> declarations(const std::string& header, size_t& from) {
  const size_t open = header.find('(', from), close = header.find(')', open);
  from = close + 1;
  std::vector<std::string> found;
  for (const std::string& one : split(header.substr(open + 1, close - open - 1), ",")) {
    if (!trim(one).empty()) found.push_back(trim(one));
  }
  return found;
}

Function read_header(const std::string& header) {
  Function function;
  size_t at = header.find(".entry");
  function.is_kernel = at != std::string::npos;
  if (!function.is_kernel) at = header.find(".func");
  at += std::strlen(function.is_kernel ? ".entry" : ".func ");
  const size_t word = header.find_first_not_of(" \t\n", at);
  if (!function.is_kernel && header[word] == '(') function.results = declarations(header, at);
  const size_t open = header.find('(', at);
  function.name = trim(header.substr(at, open == std::string::npos ? open : open - at));
  if (open != std::string::npos) function.parameters = declarations(header, at);
  return function;
}

class Reader {
 public:
  explicit Reader(const std::string& text) : files_(file_names(text)) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) read_line(line);
  }
  Module take() { return std::move(module_); }

 private:
  void read_line(std::string line) {
    line = trim(line.substr(0, line.find("//")));
    if (starts(line, ".section")) in_section_ = true;
    if (in_section_) {
      if (line == "}") in_section_ = false;
      return;
    }
    if (starts(line, ".version") || starts(line, ".target") || starts(line, ".address_size") || starts(line, ".file")) return;
    if (starts(line, ".loc\t") || starts(line, ".loc ")) {
      place_ = place_of(line, files_);
      return;
    }
    for (char c : line) read(c);
    text_ += ' ';
  }

  void read(char c) {
    const bool fresh = trim(text_).empty();
    if (depth_ == 0 && c == '{' && text_.find('=') == std::string::npos) {
      function_ = read_header(text_);
      text_.clear();
      depth_ = 1;
    } else if (depth_ > 0 && c == '{' && fresh) {
      ++depth_;  // a scope: what it declares has names of its own
    } else if (depth_ > 0 && c == '}' && fresh) {
      if (--depth_ == 0) module_.functions[function_.name] = std::move(function_);
    } else if (c == ';') {
      end_statement();
    } else {
      text_ += c;
      if (c == ':' && depth_ > 0 && trim(text_).find_first_of(" \t[.") == std::string::npos) end_statement();  // a label, not "L1::"
    }
  }

  void end_statement() {
    const std::string text = trim(text_);
    text_.clear();
    if (depth_ > 0) {
      function_.body.push_back({text, place_});
    } else if (text.find(".func") == std::string::npos) {  // else a declaration ahead of the function
      module_.variables.push_back(text);
    }
  }

  std::unordered_map<std::string, std::string> files_;
  Module module_;
  Function function_;
  std::string text_, place_;
  int depth_ = 0;
  bool in_section_ = false;
};

}  // namespace

std::vector<std::string> split(const std::string& text, const char* separators) {
  std::vector<std::string> parts;
  size_t at = 0;
  while ((at = text.find_first_not_of(separators, at)) != std::string::npos) {
    const size_t end = std::min(text.find_first_of(separators, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  return parts;
}

Module read_module(const std::string& text) {
  return Reader(text).take();
}

}  // namespace mipha::machine
