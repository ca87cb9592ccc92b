#include "package/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/error.h"

namespace mipha {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// Bytes of the UTF-8 sequence at the start of `text`, 0 when it is malformed, overlong, a surrogate or above U+10FFFF (RFC 3629 §4).
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return follows(1) ? 2 : 0;
  if (lead >= 0xe0 && lead <= 0xef) {
    const bool in_range = (lead != 0xe0 || second >= 0xa0) && (lead != 0xed || second <= 0x9f);
    return in_range && follows(1) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xf0 && lead <= 0xf4) {
    const bool in_range = (lead != 0xf0 || second >= 0x90) && (lead != 0xf4 || second <= 0x8f);
    return in_range && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void append_utf8(uint32_t code_point, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& what) : text_(text), what_(what) {}

  Json document() {
    Json value = read(0);
    skip_space();
    if (at_ != text_.size()) fail("text after the value");
    return value;
  }

 private:
  [[noreturn]] void fail(const char* reason) const {
    throw Error(Code::kModelFormat, what_ + ": " + reason + " at byte " + std::to_string(at_), {{"offset", static_cast<double>(at_)}});
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  Json read(int depth) {
    if (depth > kMaxJsonDepth) fail("nested too deeply");
    skip_space();
    Json value;
    switch (peek()) {
      case '{':
        value.kind = Json::Kind::kObject;
        read_members(depth, &value);
        break;
      case '[':
        value.kind = Json::Kind::kArray;
        read_items(depth, &value);
        break;
      case '"':
        value.kind = Json::Kind::kString;
        value.string = read_string();
        break;
      case 't':
        value.boolean = true;
        [[fallthrough]];
      case 'f':
        value.kind = Json::Kind::kBoolean;
        read_word(value.boolean ? "true" : "false");
        break;
      case 'n':
        read_word("null");
        break;
      default:
        value.kind = Json::Kind::kNumber;
        value.number = read_number();
    }
    return value;
  }

  void read_members(int depth, Json* object) {
    ++at_;
    skip_space();
    if (accept('}')) return;
    do {
      skip_space();
      if (peek() != '"') fail("expected a key");
      std::string key = read_string();
      if (object->members.count(key) != 0) fail("duplicate key");
      skip_space();
      if (!accept(':')) fail("expected ':'");
      object->members.emplace(std::move(key), read(depth + 1));
      skip_space();
    } while (accept(','));
    if (!accept('}')) fail("expected ',' or '}'");
  }

  void read_items(int depth, Json* array) {
    ++at_;
    skip_space();
    if (accept(']')) return;
    do {
      array->items.push_back(read(depth + 1));
      skip_space();
    } while (accept(','));
    if (!accept(']')) fail("expected ',' or ']'");
  }

  void read_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) fail("unexpected character");
    at_ += word.size();
  }

  double read_number() {
    const size_t start = at_;
    accept('-');
    if (!is_digit(peek())) fail("unexpected character");
    if (!accept('0')) skip_digits();
    if (accept('.')) skip_digits();
    if (accept('e') || accept('E')) {
      if (!accept('+')) accept('-');
      skip_digits();
    }
    double value = 0;
    const auto parsed = std::from_chars(text_.data() + start, text_.data() + at_, value);
    if (parsed.ec != std::errc()) fail("number out of range");
    return value;
  }

  void skip_digits() {
    if (!is_digit(peek())) fail("expected a digit");
    while (is_digit(peek())) ++at_;
  }

  std::string read_string() {
    ++at_;
    std::string out;
    while (!accept('"')) {
      if (at_ >= text_.size()) fail("string without end");
      if (accept('\\')) {
        read_escape(&out);
        continue;
      }
      if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("control character in a string");
      const size_t length = utf8_length(text_.substr(at_));
      if (length == 0) fail("invalid UTF-8");
      out.append(text_.substr(at_, length));
      at_ += length;
    }
    return out;
  }

  void read_escape(std::string* out) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (accept('u')) return append_utf8(read_code_point(), out);
    const size_t index = at_ < text_.size() ? kLetters.find(text_[at_]) : std::string_view::npos;
    if (index == std::string_view::npos) fail("unknown escape");
    ++at_;
    out->push_back(kMeanings[index]);
  }

  /// After "\u": four hexadecimal digits, or two surrogates with another "\u" between.
  uint32_t read_code_point() {
    const uint32_t first = read_hex();
    if (first < 0xd800 || first > 0xdfff) return first;
    if (first > 0xdbff || !accept('\\') || !accept('u')) fail("lone surrogate");
    const uint32_t second = read_hex();
    if (second < 0xdc00 || second > 0xdfff) fail("lone surrogate");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  uint32_t read_hex() {
    uint32_t value = 0;
    const char* const start = text_.data() + at_;
    const char* const end = text_.data() + std::min(at_ + 4, text_.size());
    const auto parsed = std::from_chars(start, end, value, 16);
    if (parsed.ec != std::errc() || parsed.ptr != start + 4) fail("expected four hexadecimal digits");
    at_ += 4;
    return value;
  }

  const std::string_view text_;
  const std::string& what_;
  size_t at_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view key) const {
  const auto member = members.find(key);
  return member == members.end() ? nullptr : &member->second;
}

bool Json::is_integer() const {
  return kind == Kind::kNumber && std::fabs(number) <= 0x1p53 && number == std::trunc(number);
}

Json parse_json(std::string_view text, const std::string& what) {
  return Parser(text, what).document();
}

}  // namespace mipha
