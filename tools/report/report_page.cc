#include "tools/report/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "tools/plan/svg.h"
#include "tools/report/line_chart.h"
#include "tools/report/page_assets.h"

namespace ingot {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 8> kColors = {"#1f6feb", "#d1570a", "#1a7f37", "#8250df",
                                                "#bf3989", "#0e7c86", "#9a6700", "#57606a"};

struct ChartOf {
  const char* field;
  const char* title;
  const char* note;
  ChartStyle style;
  double factor = 1;
};
const std::array<ChartOf, 9> kCharts = {{
    {"loss", "Training loss", "nats a token; the bold line is a moving mean", {.smoothed = true}},
    {"validation_loss", "Validation loss", "nats a token", {}},
    {"learning_rate", "Learning rate", "", {.from_zero = true}},
    {"grad_norm", "Gradient norm", "before clipping", {.smoothed = true, .from_zero = true}},
    {"tokens_per_second", "Tokens a second", "", {.smoothed = true, .from_zero = true}},
    {"mfu",
     "Model FLOPs utilisation",
     "of this machine's measured matmul peak",
     {.unit = " %", .smoothed = true, .from_zero = true},
     100},
    {"peak_rss_bytes",
     "Memory of the process",
     "most that was resident so far",
     {.unit = "", .from_zero = true},
     1.0 / (1 << 20)},
    {"expert_load_max_over_mean",
     "Expert load",
     "busiest expert, to the mean of all; 1 is balance",
     {.smoothed = true}},
    {"mtp_loss", "Multi-token prediction loss", "nats a token", {.smoothed = true}},
}};

std::string in_tag(const char* tag, const std::string& text) {
  return "<" + std::string(tag) + ">" + xml_escaped(text) + "</" + tag + ">";
}

// JSON inside a script: nothing in it may end the element.
std::string for_script(const json& value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    text.replace(at, 1, "\\u003c");
  }
  return text;
}

double last_finite(const std::vector<Point>& points) {
  for (auto point = points.rbegin(); point != points.rend(); ++point) {
    if (std::isfinite(point->value)) return point->value;
  }
  return NAN;
}

double least(const std::vector<Point>& points) {
  double value = NAN;
  for (const Point& point : points) {
    if (std::isfinite(point.value)) value = std::fmin(value, point.value);
  }
  return value;
}

double median(const std::vector<Point>& points) {
  std::vector<double> values;
  for (const Point& point : points) {
    if (std::isfinite(point.value)) values.push_back(point.value);
  }
  if (values.empty()) return NAN;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string number(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "–";
}

// "model.hidden_size": "256", for every value of a config.
void flatten(const json& value, const std::string& prefix, std::map<std::string, std::string>& to) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, inner] : value.items()) {
      flatten(inner, prefix.empty() ? key : prefix + "." + key, to);
    }
  } else if (!prefix.empty()) {
    to[prefix] = value.is_string() ? value.get<std::string>() : value.dump();
  }
}

class Page {
 public:
  Page(std::vector<ReportedRun> runs, const std::string& build) : runs_(std::move(runs)) {
    tell_apart();
    html_ =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    html_ += in_tag("title", title()) + "\n<style>" + kPageStyle + "</style></head>\n<body>\n";
    html_ += "<header>" + in_tag("h1", title()) + "<p class=\"note\">written by ingot " +
             xml_escaped(build) + "</p></header>\n<main>\n";
    summary();
    charts();
    memory();
    config();
    html_ += "</main>\n<script>const charts = " + for_script(charts_) + ";\n" + kPageScript +
             "</script>\n</body></html>\n";
  }

  std::string take() && { return std::move(html_); }

 private:
  void tell_apart() {
    std::map<std::string, int> seen;
    for (const ReportedRun& run : runs_) ++seen[run.history.name];
    for (ReportedRun& run : runs_) {
      if (seen[run.history.name] > 1) run.history.name = run.history.folder.string();
    }
  }

  std::string title() const {
    return runs_.size() == 1 ? "Run " + runs_[0].history.name
                             : std::to_string(runs_.size()) + " runs";
  }

  static std::string color(std::size_t run) { return kColors[run % kColors.size()]; }

  std::string label(std::size_t run) const {
    return "<span class=\"run\"><i style=\"background:" + color(run) + "\"></i>" +
           xml_escaped(runs_[run].history.name) + "</span>";
  }

  // A table with a row of words for each fact, a column for each run.
  void side_by_side(const std::vector<std::pair<std::string, std::vector<std::string>>>& rows) {
    html_ += "<div class=\"wide\"><table><thead><tr><th></th>";
    for (std::size_t i = 0; i < runs_.size(); ++i) html_ += "<th>" + label(i) + "</th>";
    html_ += "</tr></thead><tbody>\n";
    for (const auto& [name, cells] : rows) {
      html_ += "<tr>" + in_tag("th", name);
      for (const std::string& cell : cells) html_ += in_tag("td", cell);
      html_ += "</tr>\n";
    }
    html_ += "</tbody></table></div>\n";
  }

  void summary() {
    std::vector<std::pair<std::string, std::vector<std::string>>> rows;
    const auto row = [&](const char* name, const auto& cell) {
      rows.push_back({name, {}});
      for (const ReportedRun& run : runs_) rows.back().second.push_back(cell(run.history));
    };
    row("steps",
        [](const RunHistory& run) { return number(run.curve("loss").back().step, "{:.0f}"); });
    row("tokens", [](const RunHistory& run) {
      return run.curve("tokens").empty() ? "–" : short_number(last_finite(run.curve("tokens")));
    });
    row("last training loss",
        [](const RunHistory& run) { return number(last_finite(run.curve("loss")), "{:.4f}"); });
    row("best validation loss", [](const RunHistory& run) {
      return number(least(run.curve("validation_loss")), "{:.4f}");
    });
    row("tokens a second, median", [](const RunHistory& run) {
      return number(median(run.curve("tokens_per_second")), "{:.0f}");
    });
    row("of the matmul peak, median",
        [](const RunHistory& run) { return number(100 * median(run.curve("mfu")), "{:.0f} %"); });
    row("memory, most of budget", [](const RunHistory& run) {
      return number(last_finite(run.curve("peak_rss_bytes")) / (1 << 20), "{:.0f}") + " of " +
             number(last_finite(run.curve("budget_bytes")) / (1 << 20), "{:.0f} MiB");
    });
    row("build", [](const RunHistory& run) {
      std::string text;
      for (const std::string& build : run.builds) text += (text.empty() ? "" : ", then ") + build;
      return text.empty() ? "unknown" : text;
    });
    row("folder", [](const RunHistory& run) { return run.folder.string(); });
    html_ += "<section>";
    side_by_side(rows);
    html_ += "</section>\n";
  }

  void charts() {
    html_ += "<section class=\"charts\">\n";
    for (const ChartOf& chart : kCharts) one_chart(chart);
    html_ += "</section>\n";
  }

  void one_chart(const ChartOf& chart) {
    std::vector<Series> series;
    json values = json::array();
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      std::vector<Point> points = runs_[i].history.curve(chart.field);
      if (points.empty()) continue;
      for (Point& point : points) point.value *= chart.factor;
      json steps = json::array(), numbers = json::array();
      for (const Point& point : thinned(points, 300)) {
        steps.push_back(point.step);
        numbers.push_back(std::isfinite(point.value) ? json(point.value) : json());
      }
      values.push_back({{"name", runs_[i].history.name},
                        {"color", color(i)},
                        {"steps", steps},
                        {"values", numbers}});
      series.push_back({runs_[i].history.name, color(i), std::move(points)});
    }
    if (series.empty()) return;
    const LineChart drawn = line_chart(series, chart.style);
    const std::string unit =
        std::string(chart.field) == "peak_rss_bytes" ? " MiB" : chart.style.unit;
    html_ += "<figure data-chart=\"" + std::to_string(charts_.size()) + "\"><figcaption>" +
             in_tag("b", chart.title + (unit == " MiB" ? std::string(", MiB") : "")) + "<span>" +
             xml_escaped(chart.note) + notes_of(drawn) + "</span></figcaption>" + drawn.svg +
             legend(series.size()) + "</figure>\n";
    charts_.push_back({{"first", drawn.frame.first_step},
                       {"last", drawn.frame.last_step},
                       {"left", kChartLeft / kChartWidth},
                       {"right", kChartRight / kChartWidth},
                       {"unit", unit},
                       {"runs", values}});
  }

  static std::string notes_of(const LineChart& chart) {
    std::string text;
    if (chart.not_finite > 0) {
      text += " <em>" + std::to_string(chart.not_finite) + " not finite, marked below.</em>";
    }
    if (chart.clipped > 0)
      text += " <em>" + std::to_string(chart.clipped) + " beyond the top.</em>";
    return text;
  }

  // The place where the script writes what is under the mouse; at first the runs' names.
  std::string legend(std::size_t drawn) const {
    std::string text = "<div class=\"read\">";
    if (runs_.size() > 1 && drawn > 0) {
      for (std::size_t i = 0; i < runs_.size(); ++i) text += label(i);
    } else {
      text += "<span class=\"hint\">step</span>";
    }
    return text + "</div>";
  }

  void memory() {
    html_ += "<section><h2>Memory of a step</h2>\n";
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      const RunMemory& memory = runs_[i].memory;
      html_ += "<details open><summary>" + label(i) + "</summary>";
      if (!memory.problem.empty()) {
        html_ += "<p class=\"note\">not shown: " + xml_escaped(memory.problem) + "</p>";
      } else {
        html_ += "<dl>";
        for (const auto& [name, value] : memory.facts) {
          html_ += "<div>" + in_tag("dt", name) + in_tag("dd", value) + "</div>";
        }
        html_ += "</dl><div class=\"wide drawing\">" + memory.drawing + "</div>";
      }
      html_ += "</details>\n";
    }
    html_ += "</section>\n";
  }

  void config() {
    std::vector<std::map<std::string, std::string>> flat(runs_.size());
    std::set<std::string> keys;
    for (std::size_t i = 0; i < runs_.size(); ++i) {
      flatten(runs_[i].history.config, "", flat[i]);
      for (const auto& entry : flat[i]) keys.insert(entry.first);
    }
    html_ += "<section><h2>Config</h2>\n";
    if (keys.empty()) html_ += "<p class=\"note\">not shown: there is no checkpoint yet</p>";
    std::vector<std::pair<std::string, std::vector<std::string>>> all, different;
    for (const std::string& key : keys) {
      std::vector<std::string> cells;
      for (const auto& values : flat) {
        cells.push_back(values.contains(key) ? values.at(key) : "–");
      }
      const bool same = std::all_of(cells.begin(), cells.end(),
                                    [&](const std::string& cell) { return cell == cells[0]; });
      if (!same) different.push_back({key, cells});
      all.push_back({key, std::move(cells)});
    }
    if (!different.empty()) {
      html_ += "<h3>What differs</h3>";
      side_by_side(different);
    }
    if (!all.empty()) {
      html_ += "<details><summary>All " + std::to_string(all.size()) + " keys</summary>";
      side_by_side(all);
      html_ += "</details>";
    }
    html_ += "</section>\n";
  }

  std::vector<ReportedRun> runs_;
  std::string html_;
  json charts_ = json::array();
};

}  // namespace

std::string report_page(std::vector<ReportedRun> runs, const std::string& build) {
  return Page(std::move(runs), build).take();
}

}  // namespace ingot
