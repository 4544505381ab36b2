#include "tools/report/line_chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ingot {
namespace {

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) {
    ++found;
  }
  return found;
}

LineChart chart_of(std::vector<double> values, const ChartStyle& style = {}) {
  Series series{.name = "a", .color = "red", .points = {}};
  for (const double value : values) {
    series.points.push_back({static_cast<double>(series.points.size() + 1), value});
  }
  return line_chart({series}, style);
}

TEST(LineChart, AStepWithoutANumberIsAGapAndAMark) {
  const LineChart chart = chart_of({3, 2.5, NAN, INFINITY, 2, 1.5, 1});
  EXPECT_EQ(chart.not_finite, 2);
  EXPECT_EQ(count(chart.svg, "class=\"bad\""), 2u);
  const std::size_t curve = chart.svg.find("class=\"curve\"");
  ASSERT_NE(curve, std::string::npos);
  const std::string path = chart.svg.substr(curve, chart.svg.find("/>", curve) - curve);
  EXPECT_EQ(count(path, "M"), 2u);
  EXPECT_EQ(chart.svg.find("nan"), std::string::npos);
  EXPECT_EQ(chart.svg.find("inf"), std::string::npos);
}

TEST(LineChart, FewPointsAreDotsAndNoPointsAreAxesAlone) {
  EXPECT_EQ(count(chart_of({2}).svg, "<circle"), 1u);
  EXPECT_EQ(count(chart_of({2, NAN, 3, NAN}).svg, "<circle"), 2u);
  EXPECT_EQ(count(chart_of({NAN}).svg, "<circle"), 0u);
  EXPECT_EQ(line_chart({}, {}).svg.find("nan"), std::string::npos);
}

TEST(LineChart, AFewSpikesDoNotFlattenTheRest) {
  std::vector<double> values(200, 1);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += 0.001 * static_cast<double>(i % 7);
  values[100] = 1000;
  const LineChart chart = chart_of(values);
  EXPECT_LT(chart.frame.high, 1.1);
  EXPECT_EQ(chart.clipped, 1);
}

TEST(LineChart, TheAxisHoldsAllValuesOfAllRuns) {
  const LineChart chart = line_chart({{.name = "a", .color = "red", .points = {{10, 5}, {20, 4}}},
                                      {.name = "b", .color = "blue", .points = {{1, 3}, {40, 9}}}},
                                     {});
  EXPECT_EQ(chart.frame.first_step, 1);
  EXPECT_EQ(chart.frame.last_step, 40);
  EXPECT_LE(chart.frame.low, 3);
  EXPECT_GE(chart.frame.high, 9);
  EXPECT_EQ(chart_of({2, 1}, {.from_zero = true}).frame.low, 0);
}

TEST(LineChart, EqualValuesLieInTheMiddle) {
  const ChartFrame frame = chart_of({2}).frame;
  EXPECT_LT(frame.low, 1.99);
  EXPECT_GT(frame.high, 2.01);
  EXPECT_LT(frame.first_step, 1);
  EXPECT_GT(frame.last_step, 1);
}

TEST(ShortNumber, HasFewDigitsAtEveryScale) {
  EXPECT_EQ(short_number(0), "0");
  EXPECT_EQ(short_number(0.25), "0.25");
  EXPECT_EQ(short_number(0.0003), "3e-4");
  EXPECT_EQ(short_number(0.000015), "1.5e-5");
  EXPECT_EQ(short_number(6000), "6000");
  EXPECT_EQ(short_number(16380000), "16.38M");
}

TEST(Thinned, KeepsTheEndsTheExtremesAndTheGaps) {
  std::vector<Point> points;
  for (int i = 0; i < 100000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 0.01)});
  points[54321].value = 7;
  points[65432].value = -7;
  points[12345].value = NAN;
  const std::vector<Point> kept = thinned(points, 100);
  EXPECT_LE(kept.size(), 310u);
  EXPECT_EQ(kept.front().step, 0);
  EXPECT_EQ(kept.back().step, 99999);
  const auto has = [&](double step) {
    return std::any_of(kept.begin(), kept.end(),
                       [&](const Point& point) { return point.step == step; });
  };
  EXPECT_TRUE(has(54321));
  EXPECT_TRUE(has(65432));
  EXPECT_TRUE(has(12345));
  EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end(),
                             [](const Point& a, const Point& b) { return a.step < b.step; }));
}

}  // namespace
}  // namespace ingot
