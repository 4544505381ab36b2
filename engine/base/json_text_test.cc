#include "engine/base/json_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/base/json.h"

namespace ingot {
namespace {

TEST(JsonText, WrittenTextReadsBackWithNumbersOfPython) {
  const std::string text =
      "{\"a\": [0.0, Infinity, -Infinity, NaN], \"b\": {}, \"c\": {\"d\": \"x\\n\", \"e\": 1e-06}}";
  const auto json = parse_json(text, "f", ErrorCode::data, {.python_numbers = true});
  for (const int indent : {-1, 2}) {
    const std::string written = dump_json(json, indent);
    const auto read = parse_json(written, "f", ErrorCode::data, {.python_numbers = true});
    EXPECT_EQ(read["a"][1], std::numeric_limits<double>::infinity()) << written;
    EXPECT_EQ(read["a"][2], -std::numeric_limits<double>::infinity()) << written;
    EXPECT_TRUE(std::isnan(read["a"][3].get<double>())) << written;
    EXPECT_EQ(read["c"], json["c"]);
  }
  auto plain = json;
  plain.erase("a");
  EXPECT_EQ(dump_json(plain, 2), plain.dump(2));
  EXPECT_EQ(dump_json(plain), plain.dump());
}

}  // namespace
}  // namespace ingot
