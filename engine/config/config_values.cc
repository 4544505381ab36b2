#include "engine/config/config_values.h"

#include <fmt/format.h>
#include <charconv>
#include <cmath>

namespace ingot {
namespace {

constexpr const char* kBudgetExpects =
    "\"auto\", a number of bytes, a size such as \"12GiB\" or \"12GB\", or a share such as "
    "\"75%\"";

bool parse_budget(std::string_view text, MemoryBudget& budget) {
  static constexpr std::pair<std::string_view, double> kUnits[] = {{"B", 1},
                                                                   {"kB", 1e3},
                                                                   {"KB", 1e3},
                                                                   {"MB", 1e6},
                                                                   {"GB", 1e9},
                                                                   {"TB", 1e12},
                                                                   {"KiB", 1024.0},
                                                                   {"MiB", 1048576.0},
                                                                   {"GiB", 1073741824.0},
                                                                   {"TiB", 1099511627776.0}};
  double amount = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (failed != std::errc() || !(amount > 0)) return false;
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  if (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (unit == "%") {
    if (amount > 100) return false;
    budget = {std::nullopt, amount / 100};
    return true;
  }
  for (const auto& [name, bytes] : kUnits) {
    if (unit != name) continue;
    const double whole = std::floor(amount * bytes);
    if (!(whole >= 1 && whole < 9e18)) return false;
    budget = {static_cast<std::int64_t>(whole), std::nullopt};
    return true;
  }
  return false;
}

}  // namespace

Codec<MemoryBudget> memory_budget() {
  return {kBudgetExpects,
          [](const Json& json, const ReadContext&, MemoryBudget& value) {
            std::int64_t bytes = 0;
            if (json == "auto") {
              value = {};
            } else if (as_integer(json, bytes) && bytes > 0) {
              value = {bytes, std::nullopt};
            } else if (!json.is_string() || !parse_budget(json.get<std::string>(), value)) {
              return std::string(kBudgetExpects);
            }
            return std::string();
          },
          [](const MemoryBudget& value) -> Json {
            if (value.bytes) return *value.bytes;
            if (!value.fraction) return "auto";
            return fmt::format("{:.15g}%", *value.fraction * 100);
          }};
}

Codec<StepValues> step_values(Range range) {
  const Codec<double> element = number(range);
  const std::string expects =
      element.expects + ", or [[0, value], [step, value], ...] with rising steps";
  return {
      expects,
      [=](const Json& json, const ReadContext& context, StepValues& value) {
        StepValues read;
        double single = 0;
        if (json.is_number()) {
          const std::string wrong = element.read(json, context, single);
          if (!wrong.empty()) return wrong;
          read.points = {{0, single}};
        } else if (!json.is_array() || json.empty()) {
          return expects;
        } else {
          for (const Json& point : json) {
            std::pair<std::int64_t, double> next;
            const bool good =
                point.is_array() && point.size() == 2 && as_integer(point[0], next.first);
            if (!good) return expects;
            const std::string wrong = element.read(point[1], context, next.second);
            if (!wrong.empty()) return "[[step, value], ...], each value " + wrong;
            if (read.points.empty() ? next.first != 0 : next.first <= read.points.back().first) {
              return expects;
            }
            read.points.push_back(next);
          }
        }
        value = std::move(read);
        return std::string();
      },
      [](const StepValues& value) -> Json {
        if (value.points.size() == 1) return value.points.front().second;
        return value.points;
      }};
}

double StepValues::at(std::int64_t step) const {
  double value = points.front().second;
  for (const auto& [from, next] : points) {
    if (step >= from) value = next;
  }
  return value;
}

}  // namespace ingot
