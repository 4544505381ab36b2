#include "tests/bench/line_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "tools/plan/svg.h"

namespace ingot {
namespace {

constexpr double kWidth = 640, kHeight = 400;
constexpr double kLeft = 70, kRight = 616, kTop = 72, kBottom = 336;
constexpr const char* kColors[] = {"#1b6ca8", "#c8553d", "#3d8b5f", "#e0a458",
                                   "#7a5195", "#57606a", "#8fb8de", "#b5838d"};
constexpr const char* kGrey = "#57606a";

class Axes {
 public:
  explicit Axes(const LinePlot& plot) : doubling_(plot.doubling_x) {
    double least = 1e300, most = 0;
    first_ = 1e300, last_ = -1e300;
    for (const Curve& curve : plot.curves) {
      for (const auto& [x, y] : curve.points) {
        first_ = std::min(first_, place(x));
        last_ = std::max(last_, place(x));
        least = std::min(least, y);
        most = std::max(most, y);
      }
    }
    if (!doubling_) first_ = std::min(first_, 0.0);
    ticks_ = round_ticks(std::max(1.02 * most, 1e-12), plot.from_zero ? 5 : 10);
    if (plot.from_zero) return;
    while (ticks_.size() > 2 && ticks_[1] <= least) ticks_.erase(ticks_.begin());
  }
  double x(double value) const {
    return kLeft + 12 +
           (kRight - kLeft - 24) * (place(value) - first_) / std::max(last_ - first_, 1e-12);
  }
  double y(double value) const {
    return kBottom - (kBottom - kTop) * (value - ticks_.front()) / (ticks_.back() - ticks_.front());
  }
  double last() const { return last_; }
  const std::vector<double>& y_ticks() const { return ticks_; }

 private:
  double place(double x) const { return doubling_ ? std::log2(x) : x; }

  bool doubling_;
  double first_, last_;
  std::vector<double> ticks_;
};

void draw_axes(Svg& svg, const LinePlot& plot, const Axes& axes) {
  for (const double tick : axes.y_ticks()) {
    const double y = axes.y(tick);
    svg.line(kLeft, y, kRight, y, tick == axes.y_ticks().front() ? kGrey : "#d8dee4");
    svg.text(kLeft - 8, y + 4, coordinate(tick), {.anchor = "end", .color = kGrey});
  }
  std::vector<double> marks;
  if (plot.doubling_x) {
    for (const auto& [x, y] : plot.curves.front().points) marks.push_back(x);
  } else {
    marks = round_ticks(axes.last(), 6);
    if (marks.back() > axes.last()) marks.pop_back();
  }
  for (const double mark : marks) {
    svg.line(axes.x(mark), kBottom, axes.x(mark), kBottom + 5, kGrey);
    svg.text(axes.x(mark), kBottom + 19, coordinate(mark), {.anchor = "middle", .color = kGrey});
  }
  svg.text((kLeft + kRight) / 2, kBottom + 42, plot.x_label,
           {.anchor = "middle", .size = 13, .color = kGrey});
  svg.text(18, (kTop + kBottom) / 2, plot.y_label,
           {.anchor = "middle", .size = 13, .color = kGrey, .turned = -90});
}

void draw_curve(Svg& svg, const Curve& curve, const Axes& axes, const char* color, bool dots) {
  std::string path;
  for (const auto& [x, y] : curve.points) {
    path += (path.empty() ? "M" : "L") + coordinate(axes.x(x)) + " " + coordinate(axes.y(y));
  }
  svg.curve(path, color, curve.dashed ? 1.5 : 2.5, curve.dashed ? "5 4" : "");
  if (!dots || curve.dashed) return;
  for (const auto& [x, y] : curve.points) svg.circle(axes.x(x), axes.y(y), 3.5, color);
}

}  // namespace

std::string line_plot(const LinePlot& plot) {
  Svg svg(kWidth, kHeight, plot.title);
  svg.text(kLeft, 26, plot.title, {.size = 16, .bold = true});
  const Axes axes(plot);
  draw_axes(svg, plot, axes);
  double legend = kLeft, legend_row = 46;
  for (std::size_t i = 0; i < plot.curves.size(); ++i) {
    const Curve& curve = plot.curves[i];
    const char* color = kColors[i % std::size(kColors)];
    draw_curve(svg, curve, axes, color, plot.dots);
    const double width = 48 + 6.8 * static_cast<double>(curve.name.size());
    if (legend + width > kRight + 20) legend = kLeft, legend_row += 16;
    svg.line(legend, legend_row, legend + 22, legend_row, color, 2.5, curve.dashed ? "5 4" : "");
    svg.text(legend + 28, legend_row + 4, curve.name, {.color = kGrey});
    legend += width;
  }
  return std::move(svg).finish();
}

}  // namespace ingot
