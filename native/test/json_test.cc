#include "package/json.h"

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace mipha {
namespace {

Json parse(const std::string& text) {
  return parse_json(text, "test");
}

std::string refusal(const std::string& text) {
  try {
    parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code, Code::kModelFormat);
    return error.what();
  }
  return "accepted";
}

TEST(Json, ReadsEveryKindOfValue) {
  const Json value = parse(" {\"a\": [1, -2.5e3, 0, true, false, null], \"b\": {\"c\": \"text\"}, \"\": {}, \"e\": []} ");
  ASSERT_EQ(value.kind, Json::Kind::kObject);
  const auto& items = value.find("a")->items;
  ASSERT_EQ(items.size(), 6u);
  EXPECT_EQ(items[0].number, 1);
  EXPECT_EQ(items[1].number, -2500);
  EXPECT_EQ(items[2].number, 0);
  EXPECT_TRUE(items[3].boolean);
  EXPECT_EQ(items[4].kind, Json::Kind::kBoolean);
  EXPECT_FALSE(items[4].boolean);
  EXPECT_EQ(items[5].kind, Json::Kind::kNull);
  EXPECT_EQ(value.find("b")->find("c")->string, "text");
  EXPECT_EQ(value.find("")->kind, Json::Kind::kObject);
  EXPECT_TRUE(value.find("e")->items.empty());
  EXPECT_EQ(value.find("absent"), nullptr);
  EXPECT_EQ(items[0].find("a"), nullptr);
}

TEST(Json, ResolvesEscapesAndKeepsUtf8) {
  EXPECT_EQ(parse(R"("\"\\\/\b\f\n\r\t")").string, "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parse(R"("\u0041\u00e9\u20AC\ud83d\ude00")").string, "Aé€😀");
  EXPECT_EQ(parse("\"é€😀\"").string, "é€😀");
  EXPECT_EQ(parse(R"("\u0000")").string, std::string(1, '\0'));
}

TEST(Json, KnowsWholeNumbersThatADoubleHolds) {
  EXPECT_TRUE(parse("9007199254740992").is_integer());
  EXPECT_TRUE(parse("-3").is_integer());
  EXPECT_TRUE(parse("2e3").is_integer());
  EXPECT_FALSE(parse("9007199254740994").is_integer());
  EXPECT_FALSE(parse("0.5").is_integer());
  EXPECT_FALSE(parse("\"3\"").is_integer());
}

TEST(Json, RefusesWhatTheStandardForbids) {
  for (const char* text : {"",
                           " ",
                           "{",
                           "}",
                           "[1,]",
                           "[,1]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{\"a\" 1}",
                           "{\"a\":}",
                           "[1 2]",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "+1",
                           "0x10",
                           "NaN",
                           "Infinity",
                           "tru",
                           "nulll",
                           "'a'",
                           "\"a",
                           "\"\\x\"",
                           "\"\\u12g4\"",
                           "\"\\u+123\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "1 1",
                           "[1]]",
                           "// c\n1",
                           "1e999"}) {
    EXPECT_NE(refusal(text), "accepted") << text;
  }
  EXPECT_NE(refusal(std::string("\"a\nb\"")), "accepted");
  EXPECT_NE(refusal(std::string("[1\0]", 4)), "accepted");
  EXPECT_NE(refusal(std::string("1\0", 2)), "accepted");
}

TEST(Json, RefusesDuplicateKeysEvenWhenSpelledDifferently) {
  EXPECT_NE(refusal(R"({"a": 1, "a": 2})").find("duplicate key"), std::string::npos);
  EXPECT_NE(refusal(R"({"a": 1, "\u0061": 2})").find("duplicate key"), std::string::npos);
}

TEST(Json, RefusesMalformedUtf8) {
  for (const char* bytes :
       {"\x80", "\xc0\xaf", "\xc3", "\xe0\x80\xaf", "\xed\xa0\x80", "\xe2\x82", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80", "\xff"}) {
    EXPECT_NE(refusal("\"" + std::string(bytes) + "\"").find("invalid UTF-8"), std::string::npos);
  }
}

TEST(Json, LimitsDepth) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(refusal(nested(kMaxJsonDepth + 1)), "accepted");
  EXPECT_NE(refusal(nested(kMaxJsonDepth + 2)).find("nested too deeply"), std::string::npos);
  EXPECT_NE(refusal(std::string(1'000'000, '[')).find("nested too deeply"), std::string::npos);
}

TEST(Json, NamesTheOffsetOfTheFault) {
  try {
    parse_json("{\"a\": 1, \"b\": x}", "some/path");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "some/path: unexpected character at byte 14");
    ASSERT_EQ(error.details.size(), 1u);
    EXPECT_EQ(error.details[0].first, "offset");
    EXPECT_EQ(error.details[0].second, 14);
  }
}

}  // namespace
}  // namespace mipha
