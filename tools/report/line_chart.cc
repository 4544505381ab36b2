#include "tools/report/line_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "tools/plan/svg.h"

namespace ingot {
namespace {

constexpr std::size_t kColumns = 450;  // of the plot, in pixels about
constexpr std::size_t kFewPoints = 3;  // a curve of so few is drawn as dots as well

bool finite(const Point& point) { return std::isfinite(point.value); }

std::vector<double> sorted_values(const std::vector<Series>& series) {
  std::vector<double> values;
  for (const Series& one : series) {
    for (const Point& point : one.points) {
      if (finite(point)) values.push_back(point.value);
    }
  }
  std::sort(values.begin(), values.end());
  return values;
}

// The range of the axis. Where some 2 % of the values lie far above all others it ends below them.
void set_values(ChartFrame& frame, const std::vector<double>& values, bool from_zero) {
  if (values.empty()) return;
  frame.low = from_zero ? std::min(0.0, values.front()) : values.front();
  frame.high = values.back();
  const double most = values[(values.size() - 1) * 98 / 100];
  if (values.size() >= 50 && frame.high - most > 2 * (most - frame.low)) {
    frame.high = most + 0.25 * (most - frame.low);
  }
  // All but equal values lie in the middle, not at the edges of what their last digits span.
  const double least_range = std::max(0.02 * std::abs(frame.high), 1e-12);
  const double missing = std::max(0.0, least_range - (frame.high - frame.low));
  const double room = 0.05 * (frame.high - frame.low) + missing / 2;
  frame.high += room;
  if (!from_zero || frame.low < 0) frame.low -= room;
}

void set_steps(ChartFrame& frame, const std::vector<Series>& series) {
  bool any = false;
  for (const Series& one : series) {
    for (const Point& point : one.points) {
      frame.first_step = any ? std::min(frame.first_step, point.step) : point.step;
      frame.last_step = any ? std::max(frame.last_step, point.step) : point.step;
      any = true;
    }
  }
  if (frame.last_step > frame.first_step) return;
  frame.first_step -= 1;
  frame.last_step += 1;
}

// Round numbers within [low, high], some `count` of them.
std::vector<double> ticks_between(double low, double high, int count) {
  const double step = round_ticks(high - low, count)[1];
  std::vector<double> ticks;
  for (double tick = std::ceil(low / step); tick * step <= high; ++tick) {
    ticks.push_back(tick * step);
  }
  return ticks;
}

// The mean of the points around each; what is not finite, or a spike above `most`, is left out.
std::vector<Point> moving_mean(const std::vector<Point>& points, double most) {
  const auto reach = static_cast<std::ptrdiff_t>(std::max<std::size_t>(2, points.size() / 60));
  const auto count = static_cast<std::ptrdiff_t>(points.size());
  std::vector<Point> means;
  const auto counts = [most](const Point& point) { return finite(point) && point.value <= most; };
  double sum = 0;
  std::ptrdiff_t within = 0, from = 0, to = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    for (; to < std::min(count, i + reach + 1); ++to) {
      if (counts(points[to])) sum += points[to].value, ++within;
    }
    for (; from < i - reach; ++from) {
      if (counts(points[from])) sum -= points[from].value, --within;
    }
    means.push_back({points[i].step, within > 0 ? sum / static_cast<double>(within) : NAN});
  }
  return means;
}

class Chart {
 public:
  Chart(const std::vector<Series>& series, const ChartStyle& style) : style_(style) {
    set_steps(chart_.frame, series);
    set_values(chart_.frame, sorted_values(series), style.from_zero);
    chart_.svg = "<svg class=\"chart\" viewBox=\"0 0 " + coordinate(kChartWidth) + " " +
                 coordinate(kChartHeight) + "\" role=\"img\">";
    axes();
    for (const Series& one : series) draw(one);
    chart_.svg += "</svg>";
  }

  LineChart take() && { return std::move(chart_); }

 private:
  double x_of(double step) const {
    const ChartFrame& frame = chart_.frame;
    return kChartLeft + (kChartRight - kChartLeft) * (step - frame.first_step) /
                            (frame.last_step - frame.first_step);
  }
  double y_of(double value) const {
    const ChartFrame& frame = chart_.frame;
    const double y =
        kChartBottom - (kChartBottom - kChartTop) * (value - frame.low) / (frame.high - frame.low);
    return std::clamp(y, kChartTop - 4, kChartBottom);
  }

  void text(double x, double y, const std::string& words, const char* kind) {
    chart_.svg += "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" class=\"" + kind +
                  "\">" + xml_escaped(words) + "</text>";
  }

  void line(double x1, double y1, double x2, double y2, const char* kind) {
    chart_.svg += "<path class=\"" + std::string(kind) + "\" d=\"M" + coordinate(x1) + " " +
                  coordinate(y1) + "L" + coordinate(x2) + " " + coordinate(y2) + "\"/>";
  }

  void axes() {
    const ChartFrame& frame = chart_.frame;
    for (const double tick : ticks_between(frame.low, frame.high, 5)) {
      line(kChartLeft, y_of(tick), kChartRight, y_of(tick), "grid");
      text(kChartLeft - 7, y_of(tick) + 4, short_number(tick) + style_.unit, "left");
    }
    line(kChartLeft, kChartBottom, kChartRight, kChartBottom, "axis");
    for (const double tick : ticks_between(frame.first_step, frame.last_step, 5)) {
      if (tick != std::floor(tick)) continue;
      line(x_of(tick), kChartBottom, x_of(tick), kChartBottom + 4, "axis");
      text(x_of(tick), kChartBottom + 18, short_number(tick), "below");
    }
  }

  // A gap where the run had no number.
  void curve(const std::vector<Point>& points, const std::string& color, const char* kind) {
    std::string data;
    bool drawing = false;
    for (const Point& point : thinned(points, kColumns)) {
      if (finite(point)) {
        data += (drawing ? "L" : "M") + coordinate(x_of(point.step)) + " " +
                coordinate(y_of(point.value));
      }
      drawing = finite(point);
    }
    if (data.empty()) return;
    chart_.svg +=
        "<path class=\"" + std::string(kind) + "\" stroke=\"" + color + "\" d=\"" + data + "\"/>";
  }

  void dot(double x, double y, const std::string& color, double radius) {
    chart_.svg += "<circle cx=\"" + coordinate(x) + "\" cy=\"" + coordinate(y) + "\" r=\"" +
                  coordinate(radius) + "\" fill=\"" + color + "\"/>";
  }

  void draw(const Series& series) {
    const std::vector<Point>& points = series.points;
    const bool smoothed = style_.smoothed && points.size() >= 20;
    chart_.svg += "<g data-run=\"" + xml_escaped(series.name) + "\">";
    curve(points, series.color, smoothed ? "pale" : "curve");
    if (smoothed) curve(moving_mean(points, chart_.frame.high), series.color, "curve");
    std::set<double> marked;  // pixels: thousands of marks would be a bar
    for (std::size_t i = 0; i < points.size(); ++i) {
      const Point& point = points[i];
      const double x = std::round(x_of(point.step));
      if (!finite(point)) {
        ++chart_.not_finite;
        if (marked.insert(x).second) line(x, kChartBottom - 9, x, kChartBottom, "bad");
        continue;
      }
      if (point.value > chart_.frame.high) ++chart_.clipped;
      const bool alone =
          (i == 0 || !finite(points[i - 1])) && (i + 1 == points.size() || !finite(points[i + 1]));
      if (points.size() <= kFewPoints || alone) {
        dot(x_of(point.step), y_of(point.value), series.color, 3);
      }
    }
    chart_.svg += "</g>";
  }

  const ChartStyle& style_;
  LineChart chart_;
};

}  // namespace

LineChart line_chart(const std::vector<Series>& series, const ChartStyle& style) {
  return Chart(series, style).take();
}

std::vector<Point> thinned(const std::vector<Point>& points, std::size_t columns) {
  if (points.size() <= 4 * columns) return points;
  std::vector<Point> kept;
  for (std::size_t column = 0; column < columns; ++column) {
    const std::size_t first = column * points.size() / columns;
    const std::size_t end = (column + 1) * points.size() / columns;
    std::size_t least = first, most = first;
    bool gap = false;
    for (std::size_t i = first; i < end; ++i) {
      gap = gap || !finite(points[i]);
      if (!finite(points[i])) continue;
      if (!finite(points[least]) || points[i].value < points[least].value) least = i;
      if (!finite(points[most]) || points[i].value > points[most].value) most = i;
    }
    std::set<std::size_t> chosen = {least, most};
    if (column == 0) chosen.insert(first);
    if (column + 1 == columns) chosen.insert(end - 1);
    if (gap) {
      chosen.insert(std::find_if(points.begin() + first, points.begin() + end,
                                 [](const Point& point) { return !finite(point); }) -
                    points.begin());
    }
    for (const std::size_t i : chosen) kept.push_back(points[i]);
  }
  return kept;
}

std::string short_number(double value) {
  char text[32];
  const double size = std::abs(value);
  if (size >= 1e9) {
    std::snprintf(text, sizeof text, "%.4gG", value / 1e9);
  } else if (size >= 1e6) {
    std::snprintf(text, sizeof text, "%.4gM", value / 1e6);
  } else if (size >= 1e4) {
    std::snprintf(text, sizeof text, "%.4gk", value / 1e3);
  } else if (size >= 1e-3 || size < 1e-12) {
    std::snprintf(text, sizeof text, "%.4g", size < 1e-12 ? 0.0 : value);
  } else {  // 1.5e-05 as 1.5e-5
    std::snprintf(text, sizeof text, "%.3g", value);
    std::string digits = text;
    if (const std::size_t at = digits.find("e-0"); at != std::string::npos) digits.erase(at + 2, 1);
    if (digits.find('e') == std::string::npos) {
      const int power = static_cast<int>(std::floor(std::log10(size)));
      std::snprintf(text, sizeof text, "%.3ge%d", value / std::pow(10, power), power);
      digits = text;
    }
    return digits;
  }
  return text;
}

}  // namespace ingot
