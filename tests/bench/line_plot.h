// Curves as an SVG document, for docs/benchmarks.md.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace ingot {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y; x rises
  bool dashed = false;                            // theory, to compare with
};

struct LinePlot {
  std::string title, x_label, y_label;
  bool doubling_x = false;  // a logarithmic axis, its marks at the points of the first curve
  bool dots = true;
  bool from_zero = true;      // the y axis
  std::vector<Curve> curves;  // at most eight; y >= 0
};

std::string line_plot(const LinePlot& plot);

}  // namespace ingot
