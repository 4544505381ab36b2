#include "io/strict_json.h"

#include <nlohmann/json.hpp>
#include <string>

#include "io/test_folder.h"

namespace ingot {
namespace {

TEST(StrictJson, AgreesWithThePlainParserOnValidText) {
  for (
      const std::string text :
      {R"({"a":[1,-2,3.5,true,false,null,"x\u00e9",{"b":{"c":[]}},[[],[{}]]],"d":18446744073709551615})",
       "[]", "{}", "3", "\"s\"", "null", " [1 , 2]\n"}) {
    EXPECT_EQ(parse_strict_json(text, "f.json"), nlohmann::json::parse(text)) << text;
  }
}

TEST(StrictJson, RefusesWhatIsBrokenRepeatedOrTooMuch) {
  const auto refused = [](const std::string& text, const char* why, const JsonLimits& limits = {}) {
    expect_error(
        ErrorCode::data, [&] { parse_strict_json(text, "f.json", limits); }, why, "f.json");
  };
  refused("", "not valid JSON at byte");
  refused("{\"a\":1", "not valid JSON at byte");
  refused("{} {}", "not valid JSON at byte");
  refused("[1e999]", "not valid JSON");
  refused("[\"\xff\"]", "not valid JSON");
  refused(std::string("{}\0}", 4), "zero byte");
  refused(R"({"a":{"b":1,"b":2}})", "key \"b\" twice");
  refused(std::string(1'000'000, '['), "too deeply");
  refused("[[[1]]]", "too deeply", {.depth = 2});
  EXPECT_NO_THROW(parse_strict_json("[[1]]", "f.json", {.depth = 2}));
  refused("[1,2,3]", "too many", {.values = 3});
}

}  // namespace
}  // namespace ingot
