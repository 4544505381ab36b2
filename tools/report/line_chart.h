// A chart of curves over steps, as a piece of SVG that a page scales.
#pragma once

#include <string>
#include <vector>

#include "tools/report/run_history.h"

namespace ingot {

struct Series {
  std::string name;
  std::string color;  // CSS
  std::vector<Point> points;
};

struct ChartStyle {
  std::string unit;              // of the values, after the numbers of the axis
  bool smoothed = false;         // a pale curve of all points, and their moving mean
  bool from_zero = false;        // the axis begins at 0
  bool values_in_label = false;  // the last value stands at the end of each curve
};

inline constexpr double kChartWidth = 520, kChartHeight = 260;
inline constexpr double kChartLeft = 62, kChartRight = 496, kChartTop = 12, kChartBottom = 228;

// What a script must know to read values off the chart: pixels are linear in both.
struct ChartFrame {
  double first_step = 0, last_step = 1;
  double low = 0, high = 1;
};

struct LineChart {
  std::string svg;
  ChartFrame frame;
  int not_finite = 0;  // points, marked at the lower edge
  int clipped = 0;     // points beyond the upper edge: a few spikes do not flatten the rest
};

// Of long curves no more points than pixels can show, extremes among them. Series may be empty.
LineChart line_chart(const std::vector<Series>& series, const ChartStyle& style);

// At most about `columns` * 2 points: the first, least, largest and last of each column.
std::vector<Point> thinned(const std::vector<Point>& points, std::size_t columns);

// "0.25", "3e-4", "16.38M": four digits at most.
std::string short_number(double value);

}  // namespace ingot
