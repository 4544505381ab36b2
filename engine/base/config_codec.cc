#include "engine/base/config_codec.h"

#include <charconv>
#include <cmath>
#include <limits>

#include "engine/base/mistakes.h"

namespace ingot {
namespace {

// Shortest text that reads back as the same number.
std::string number_text(double value) {
  char buffer[32];
  const auto [end, failed] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, end);
}

constexpr std::size_t kLongestPath = 4096;  // the system's limit

std::string resolved(const std::string& path, const std::filesystem::path& folder) {
  if (path.empty()) return path;
  return (folder / path).lexically_normal().string();  // an absolute path replaces the folder
}

Json absolute(const std::string& path) {
  if (path.empty()) return path;
  return std::filesystem::absolute(path).lexically_normal().string();
}

// Every number of a config ends in fp32 somewhere.
bool fp32_holds(double value, const Range& range) {
  const double size = std::fabs(value);
  if (size == 0) return true;
  if (size < std::numeric_limits<float>::min() || size > std::numeric_limits<float>::max()) {
    return false;
  }
  const double rounded = static_cast<float>(value);
  return !(range.low_open && rounded <= range.low) && !(range.high_open && rounded >= range.high);
}

}  // namespace

std::string Range::text() const {
  const bool bounded_below = std::isfinite(low), bounded_above = std::isfinite(high);
  if (bounded_below && bounded_above) {
    return (low_open ? "above " : "from ") + number_text(low) +
           (high_open ? ", below " : (low_open ? ", up to " : " to ")) + number_text(high);
  }
  if (bounded_below) return low_open ? "above " + number_text(low) : number_text(low) + " or more";
  return "of any size";
}

std::string shown(const Json& value) {
  return clipped(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string list_of_words(const std::vector<std::string>& words) {
  std::string list;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) list += i + 1 == words.size() ? " or " : ", ";
    list += "\"" + words[i] + "\"";
  }
  return list;
}

std::string not_one_of(const std::string& word, const std::vector<std::string>& words) {
  const std::vector<std::string_view> candidates(words.begin(), words.end());
  const std::string_view near = words.size() > 1 ? nearest(word, candidates) : "";
  const std::string list = (words.size() > 1 ? "one of " : "") + list_of_words(words);
  return near.empty() ? list : "did you mean \"" + std::string(near) + "\"? It is " + list;
}

bool as_integer(const Json& json, std::int64_t& value) {
  if (json.is_number_unsigned()) {
    const auto wide = json.get<std::uint64_t>();
    if (wide > static_cast<std::uint64_t>(kNoLimit)) return false;
    value = static_cast<std::int64_t>(wide);
    return true;
  }
  if (json.is_number_integer()) {
    value = json.get<std::int64_t>();
    return true;
  }
  constexpr double kExact = 9007199254740992.0;  // 2^53: above it a double skips integers
  if (!json.is_number_float()) return false;
  const double wide = json.get<double>();
  if (!(std::fabs(wide) <= kExact) || wide != std::floor(wide)) return false;
  value = static_cast<std::int64_t>(wide);
  return true;
}

Codec<std::int64_t> integer(std::int64_t low, std::int64_t high) {
  std::string expects = "an integer";
  if (high == kNoLimit) {
    expects += ", " + std::to_string(low) + " or more";
  } else {
    expects += " from " + std::to_string(low) + " to " + std::to_string(high);
  }
  return {expects,
          [=](const Json& json, const ReadContext&, std::int64_t& value) {
            std::int64_t read = 0;
            if (!as_integer(json, read) || read < low || read > high) return expects;
            value = read;
            return std::string();
          },
          [](const std::int64_t& value) { return Json(value); }};
}

Codec<double> number(Range range) {
  const std::string expects = "a number " + range.text();
  return {expects,
          [=](const Json& json, const ReadContext&, double& value) {
            if (!json.is_number()) return expects;
            const double read = json.get<double>();
            if (!std::isfinite(read) || !range.contains(read)) return expects;
            if (!fp32_holds(read, range)) return expects + " that fp32 can hold";
            value = read;
            return std::string();
          },
          [](const double& value) { return Json(value); }};
}

Codec<bool> flag() {
  return {"true or false",
          [](const Json& json, const ReadContext&, bool& value) {
            if (!json.is_boolean()) return std::string("true or false");
            value = json.get<bool>();
            return std::string();
          },
          [](const bool& value) { return Json(value); }};
}

Codec<std::string> text() {
  return {"text",
          [](const Json& json, const ReadContext&, std::string& value) {
            if (!json.is_string()) return std::string("text");
            value = json.get<std::string>();
            return std::string();
          },
          [](const std::string& value) { return Json(value); }};
}

Codec<std::string> path() {
  return {"a path",
          [](const Json& json, const ReadContext& context, std::string& value) {
            if (!json.is_string()) return std::string("a path");
            const auto& given = json.get_ref<const std::string&>();
            if (given.find('\0') != std::string::npos || given.size() > kLongestPath) {
              return std::string("a path of at most 4096 bytes, none of them NUL");
            }
            value = resolved(given, context.folder);
            return std::string();
          },
          [](const std::string& value) { return absolute(value); }};
}

Codec<std::vector<std::string>> paths() {
  const Codec<std::vector<std::string>> list = list_of(path());
  return {"a list of paths",
          [list](const Json& json, const ReadContext& context, std::vector<std::string>& value) {
            const Json wrapped = json.is_string() ? Json::array({json}) : json;
            const bool good = list.read(wrapped, context, value).empty();
            return std::string(good ? "" : "a path or a list of paths");
          },
          list.write};
}

Codec<std::array<double, 2>> pair_of(const Codec<double>& element) {
  const std::string expects = "a list of two, each " + element.expects;
  return {expects,
          [=](const Json& json, const ReadContext& context, std::array<double, 2>& value) {
            std::array<double, 2> read{};
            if (!json.is_array() || json.size() != 2) return expects;
            for (std::size_t i = 0; i < read.size(); ++i) {
              const std::string wrong = element.read(json[i], context, read[i]);
              if (!wrong.empty()) return "a list of two, each " + wrong;
            }
            value = read;
            return std::string();
          },
          [](const std::array<double, 2>& value) { return Json(value); }};
}

}  // namespace ingot
