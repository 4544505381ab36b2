#include "tools/plan/plan_drawing.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "memory/lifetimes.h"
#include "memory/timeline.h"
#include "tools/plan/svg.h"

namespace ingot {
namespace {

// The page, in pixels.
constexpr double kWidth = 1200, kHeight = 860;
constexpr double kLeft = 76, kRight = 932, kTop = 116, kBottom = 540;
constexpr double kLegendLeft = 962;
constexpr double kTableTop = 622, kRowHeight = 21;
constexpr int kMostColumns = 1760;  // of the drawing: two for each pixel

constexpr const char* kGrey = "#57606a";
constexpr const char* kPaleGrey = "#d8dee4";
constexpr const char* kRed = "#b42318";

struct RoleStyle {
  Role role;
  const char* words;
  const char* color;
};
// From the bottom of the stack: what stays, then what comes and goes.
constexpr std::array<RoleStyle, kRoleCount> kRoles = {{
    {Role::master, "master weights", "#1b4965"},
    {Role::weight, "weights", "#3d7ea6"},
    {Role::optimizer_state, "optimizer states", "#8fb8de"},
    {Role::gradient, "gradients", "#e0a458"},
    {Role::input, "inputs and tables", "#b0b8c1"},
    {Role::output, "outputs", "#7c8792"},
    {Role::communication, "messages", "#9a6fb0"},
    {Role::activation, "activations", "#5fa777"},
    {Role::workspace, "workspace", "#c8553d"},
}};

const RoleStyle& style_of(Role role) {
  return *std::find_if(kRoles.begin(), kRoles.end(),
                       [role](const RoleStyle& style) { return style.role == role; });
}

struct Unit {
  double bytes;
  const char* name;
};
Unit unit_for(std::int64_t most) {
  constexpr double kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30, kTiB = kGiB * 1024;
  const auto bytes = static_cast<double>(most);
  if (bytes >= 4 * kTiB) return {kTiB, "TiB"};
  if (bytes >= 4 * kGiB) return {kGiB, "GiB"};
  return bytes >= 4 * kMiB ? Unit{kMiB, "MiB"} : Unit{kKiB, "KiB"};
}

std::string number(double value) {
  return fmt::format("{:.{}f}", value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

std::string amount(std::int64_t bytes) {
  const Unit unit = unit_for(bytes);
  return number(static_cast<double>(bytes) / unit.bytes) + " " + unit.name;
}

// As much of it as fits, from its end, which says more.
std::string shortened(const std::string& words, std::size_t most) {
  return words.size() <= most ? words : "…" + words.substr(words.size() - most + 1);
}

// Ops of one kind of work in a row: what the band above the plot shows.
struct Stretch {
  std::string words;
  std::int64_t first = 0, last = 0;
};

std::vector<Stretch> stretches(const Program& program) {
  std::vector<Stretch> result;
  const auto ops = program.ops();
  bool backward = false;  // from the first backward op of the micro-step on
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    backward = backward || op.phase == Phase::backward;
    std::string words = name_of(op.part);
    if (op.part == Part::micro_step) words = backward ? "backward" : "forward";
    const auto at = static_cast<std::int64_t>(i);
    if (result.empty() || result.back().words != words)
      result.push_back({.words = words, .first = at});
    result.back().last = at;
  }
  return result;
}

class Drawing {
 public:
  Drawing(const Program& program, const BoundProgram& bound, const MemoryPlan& plan,
          std::string_view subtitle);
  std::string finish() &&;

 private:
  void head(std::string_view subtitle);
  void axes();
  void bands();
  void layers();
  void peak();
  void legend();
  void largest();

  double x_of(double op) const { return kLeft + (kRight - kLeft) * op / ops_; }
  double y_of(std::int64_t bytes) const {
    return kBottom - (kBottom - kTop) * static_cast<double>(bytes) / unit_.bytes / top_;
  }
  std::string path_between(const std::vector<std::int64_t>& low,
                           const std::vector<std::int64_t>& high) const;

  const Program& program_;
  const MemoryPlan& plan_;
  double ops_;
  Timeline timeline_;
  Unit unit_;
  std::vector<double> ticks_;
  double top_;                         // of the vertical axis, in units
  std::vector<std::int64_t> columns_;  // first op of each, and the number of ops
  std::vector<std::int64_t> shown_;    // the op that stands for each: where most bytes live
  Svg svg_;
};

Timeline timeline_of(const Program& program, const BoundProgram& bound) {
  const Lifetimes lives = lifetimes(program, &bound);
  std::vector<int> roles;
  for (const BufferOwner owner : lives.owners) {
    roles.push_back(static_cast<int>(role_of(program, owner)));
  }
  return make_timeline(lives.buffers, roles, kRoleCount,
                       static_cast<std::int64_t>(program.ops().size()));
}

Drawing::Drawing(const Program& program, const BoundProgram& bound, const MemoryPlan& plan,
                 std::string_view subtitle)
    : program_(program),
      plan_(plan),
      ops_(static_cast<double>(program.ops().size())),
      timeline_(timeline_of(program, bound)),
      unit_(unit_for(timeline_.peak_bytes)),
      ticks_(round_ticks(1.04 * static_cast<double>(timeline_.peak_bytes) / unit_.bytes, 6)),
      top_(ticks_.back()),
      svg_(kWidth, kHeight, "Memory of a training step") {
  const auto ops = static_cast<std::int64_t>(program.ops().size());
  const std::int64_t columns = std::min<std::int64_t>(ops, kMostColumns);
  for (std::int64_t i = 0; i <= columns; ++i) columns_.push_back(i * ops / columns);
  for (std::int64_t i = 0; i < columns; ++i) {
    const auto live = timeline_.live_bytes.begin();
    shown_.push_back(std::max_element(live + columns_[i], live + columns_[i + 1]) - live);
  }
  head(subtitle);
  axes();
  layers();
  bands();
  peak();
  legend();
  largest();
}

void Drawing::head(std::string_view subtitle) {
  svg_.text(kLeft, 38, "Live memory over the ops of a step", {.size = 22, .bold = true});
  svg_.text(kLeft, 61, subtitle, {.size = 13, .color = kGrey});
}

void Drawing::axes() {
  for (const double tick : ticks_) {
    const double y = kBottom - (kBottom - kTop) * tick / top_;
    svg_.line(kLeft, y, kRight, y, kPaleGrey);
    svg_.text(kLeft - 8, y + 4, coordinate(tick), {.anchor = "end", .color = kGrey});
  }
  svg_.text(20, (kTop + kBottom) / 2, std::string("live bytes, ") + unit_.name,
            {.anchor = "middle", .size = 13, .color = kGrey, .turned = -90});
  for (const double tick : round_ticks(ops_, 8)) {
    if (tick > ops_) continue;
    svg_.line(x_of(tick), kBottom, x_of(tick), kBottom + 5, kGrey);
    svg_.text(x_of(tick), kBottom + 19, coordinate(tick), {.anchor = "middle", .color = kGrey});
  }
  svg_.text((kLeft + kRight) / 2, kBottom + 40, "op, in the order they run",
            {.anchor = "middle", .size = 13, .color = kGrey});
}

// One role's area: along the upper edge to the right, back along the lower one.
std::string Drawing::path_between(const std::vector<std::int64_t>& low,
                                  const std::vector<std::int64_t>& high) const {
  const auto columns = static_cast<std::int64_t>(low.size());
  std::string path = "M" + coordinate(x_of(0)) + " " + coordinate(y_of(high[0]));
  for (std::int64_t i = 1; i <= columns; ++i) {
    if (i < columns && high[i] == high[i - 1]) continue;
    path += "H" + coordinate(x_of(static_cast<double>(columns_[i])));
    if (i < columns) path += "V" + coordinate(y_of(high[i]));
  }
  path += "V" + coordinate(y_of(low[columns - 1]));
  for (std::int64_t i = columns - 1; i >= 0; --i) {
    if (i > 0 && low[i] == low[i - 1]) continue;
    path += "H" + coordinate(x_of(static_cast<double>(columns_[i])));
    if (i > 0) path += "V" + coordinate(y_of(low[i - 1]));
  }
  return path + "Z";
}

void Drawing::layers() {
  std::vector<std::int64_t> low(shown_.size());
  for (const RoleStyle& style : kRoles) {
    std::vector<std::int64_t> high = low;
    bool any = false;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const std::int64_t bytes = timeline_.roles_at(shown_[i])[static_cast<int>(style.role)];
      any = any || bytes > 0;
      high[i] += bytes;
    }
    if (any) svg_.area(path_between(low, high), style.color, style.words);
    low = std::move(high);
  }
}

void Drawing::bands() {
  constexpr double kBandTop = kTop - 26;
  constexpr double kLetter = 6.6;  // pixels, about
  for (const Stretch& stretch : stretches(program_)) {
    const double left = x_of(static_cast<double>(stretch.first));
    const double right = x_of(static_cast<double>(stretch.last + 1));
    if (stretch.first > 0) svg_.line(left, kBandTop, left, kBottom, "#8c959f", 1, "2 3");
    svg_.rectangle(left + 1, kBandTop, std::max(right - left - 2, 0.5), 4, "#8c959f");
    if (right - left > kLetter * static_cast<double>(stretch.words.size())) {
      svg_.text((left + right) / 2, kBandTop - 6, stretch.words,
                {.anchor = "middle", .color = kGrey});
    }
  }
}

void Drawing::peak() {
  const double x = x_of(static_cast<double>(timeline_.peak_op) + 0.5);
  const double y = y_of(timeline_.peak_bytes);
  svg_.line(kLeft, y, kRight, y, kRed, 1, "5 4");
  svg_.line(x, y, x, kBottom, kRed, 1, "5 4");
  svg_.circle(x, y, 4.5, kRed);
  svg_.text(kRight, y - 7, "peak " + amount(timeline_.peak_bytes),
            {.anchor = "end", .size = 13, .color = kRed, .bold = true});
}

void Drawing::legend() {
  double y = kTop + 4;
  svg_.text(kLegendLeft, y, "At the peak", {.size = 14, .bold = true});
  y += 12;
  const auto at_peak = timeline_.roles_at(timeline_.peak_op);
  for (auto style = kRoles.rbegin(); style != kRoles.rend(); ++style) {
    const std::int64_t bytes = at_peak[static_cast<int>(style->role)];
    if (bytes == 0) continue;
    y += 22;
    svg_.rectangle(kLegendLeft, y - 11, 13, 13, style->color);
    svg_.text(kLegendLeft + 21, y, style->words, {.size = 13});
    svg_.text(kWidth - 24, y, amount(bytes), {.anchor = "end", .size = 13});
  }
  y += 14;
  svg_.line(kLegendLeft, y, kWidth - 24, y, kPaleGrey);
  const auto total = [&](const char* words, std::int64_t bytes, const Svg::TextStyle& style) {
    y += 21;
    svg_.text(kLegendLeft + 21, y, words, style);
    Svg::TextStyle right = style;
    right.anchor = "end";
    svg_.text(kWidth - 24, y, amount(bytes), right);
  };
  total("live", timeline_.peak_bytes, {.size = 13, .bold = true});
  total("arena, packed", plan_.arena_bytes(), {.size = 13, .color = kGrey});
}

void Drawing::largest() {
  const Op& op = program_.ops()[timeline_.peak_op];
  svg_.text(kLeft, kTableTop, "Largest tensors at the peak", {.size = 14, .bold = true});
  svg_.text(
      kLeft + 256, kTableTop,
      "op " + std::to_string(timeline_.peak_op) + ": " + shortened(describe(program_, op), 104),
      {.size = 13, .color = kRed});
  if (plan_.largest.empty()) return;
  constexpr double kBar = 150;
  const auto most = static_cast<double>(plan_.largest[0].bytes);
  double y = kTableTop + 5;
  for (const MemoryPlan::Large& large : plan_.largest) {
    const RoleStyle& style = style_of(role_of(program_, large.owner));
    y += kRowHeight;
    const double bar = kBar * static_cast<double>(large.bytes) / std::max(most, 1.0);
    svg_.text(kLeft + 66, y, amount(large.bytes), {.anchor = "end", .size = 12.5});
    svg_.rectangle(kLeft + 78, y - 11, std::max(bar, 1.0), 13, style.color);
    svg_.text(kLeft + 92 + kBar, y, style.words, {.size = 12.5, .color = kGrey});
    svg_.text(kLeft + 212 + kBar, y, shape_text(program_, large),
              {.size = 12, .color = kGrey, .fixed_width = true});
    svg_.text(kLeft + 400 + kBar, y, shortened(name_of(program_, large.owner), 76),
              {.size = 12, .fixed_width = true});
  }
}

std::string Drawing::finish() && { return std::move(svg_).finish(); }

}  // namespace

std::string memory_drawing(const Program& program, const BoundProgram& bound,
                           const MemoryPlan& plan, std::string_view subtitle) {
  return Drawing(program, bound, plan, subtitle).finish();
}

}  // namespace ingot
