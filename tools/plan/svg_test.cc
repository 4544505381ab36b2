#include "tools/plan/svg.h"

#include <gtest/gtest.h>

namespace ingot {
namespace {

TEST(Svg, EscapesWhatXmlKeepsForItself) {
  EXPECT_EQ(xml_escaped("a<b>&\"c'"), "a&lt;b&gt;&amp;&quot;c&apos;");
  EXPECT_EQ(xml_escaped("é × 字 😀"), "é × 字 😀");
  EXPECT_EQ(xml_escaped(std::string_view("a\0b\x1f\n", 5)), "a?b??");
}

TEST(Svg, ReplacesBytesThatAreNoUtf8) {
  EXPECT_EQ(xml_escaped("\xff"
                        "a\xc3"),
            "?a?");
  EXPECT_EQ(xml_escaped("\xc0\xaf"), "??");            // overlong
  EXPECT_EQ(xml_escaped("\xed\xa0\x80"), "???");       // a surrogate
  EXPECT_EQ(xml_escaped("\xef\xbf\xbf"), "???");       // U+FFFF, not for XML
  EXPECT_EQ(xml_escaped("\xf4\x90\x80\x80"), "????");  // beyond Unicode
  EXPECT_EQ(xml_escaped("\xef\xbf\xbd"), "\xef\xbf\xbd");
}

TEST(Svg, TicksAreRoundAndReachTheMost) {
  EXPECT_EQ(round_ticks(10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(round_ticks(11, 5), (std::vector<double>{0, 2.5, 5, 7.5, 10, 12.5}));
  for (const double most : {1e-3, 0.7, 1.0, 3.0, 872.3, 5548.0, 1e12}) {
    const std::vector<double> ticks = round_ticks(most, 6);
    EXPECT_GE(ticks.back(), most);
    EXPECT_LT(ticks[ticks.size() - 2], most);
    EXPECT_GE(ticks.size(), 3u);
    EXPECT_LE(ticks.size(), 8u);
  }
}

TEST(Svg, CoordinatesAreShort) {
  EXPECT_EQ(coordinate(3), "3");
  EXPECT_EQ(coordinate(2.5), "2.5");
  EXPECT_EQ(coordinate(1.239), "1.24");
  EXPECT_EQ(coordinate(-0.001), "0");
}

}  // namespace
}  // namespace ingot
