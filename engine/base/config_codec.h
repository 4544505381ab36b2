// How one value of a config is read, written and described: the building blocks of the tables in
// config_fields.cc and model_config_fields.cc. Internal to the config files (it pulls in
// nlohmann/json).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/mistakes.h"

namespace ingot {

using Json = nlohmann::json;

struct ReadContext {
  std::filesystem::path folder;  // relative paths start here
};

template <class T>
struct Codec {
  std::string expects;  // "a number from 0 to 1"
  // "" and `value` is set; or what the JSON should have been, and `value` is as it was.
  std::function<std::string(const Json&, const ReadContext&, T& value)> read;
  std::function<Json(const T&)> write;
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Bounds of a number; `*_open` leaves the bound itself out.
struct Range {
  double low = -kInfinity, high = kInfinity;
  bool low_open = false, high_open = false;

  bool contains(double value) const {
    return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
  }
  std::string text() const;  // "from 0 to 1", "above 0", "0 or more"
};
constexpr Range range(double low, double high) { return {low, high}; }
constexpr Range above(double low) { return {low, kInfinity, true}; }

constexpr std::int64_t kNoLimit = std::numeric_limits<std::int64_t>::max();

// Integers may be spelled 32768, 32768.0 or 1e5. False if `json` is none, or beyond 64 bits.
bool as_integer(const Json& json, std::int64_t& value);

Codec<std::int64_t> integer(std::int64_t low, std::int64_t high = kNoLimit);
// Always one that fp32 holds: 0, or of a size from the smallest to the largest normal number, and
// within the range in fp32 as well (0.99999999 is not "below 1").
Codec<double> number(Range range);
Codec<bool> flag();
Codec<std::string> text();
Codec<std::string> path();                // "" stays "" (not given)
Codec<std::vector<std::string>> paths();  // a list, or one; patterns are kept as they are
Codec<std::array<double, 2>> pair_of(const Codec<double>& element);

// `value` as it stands in a message, cut to a readable length.
std::string shown(const Json& value);

// "a", "b" or "c"
std::string list_of_words(const std::vector<std::string>& words);

// What to say to `word`, which is none of `words`: `expects`, and the nearest of them if one is.
std::string not_one_of(const std::string& word, const std::vector<std::string>& words);

template <class T>
Codec<std::vector<T>> list_of(Codec<T> element) {
  return {"a list, each " + element.expects,
          [element](const Json& json, const ReadContext& context, std::vector<T>& value) {
            if (!json.is_array()) return "a list, each " + element.expects;
            std::vector<T> read(json.size());
            for (std::size_t i = 0; i < json.size(); ++i) {
              const std::string wrong = element.read(json[i], context, read[i]);
              if (!wrong.empty()) return "a list, each " + wrong;
            }
            value = std::move(read);
            return std::string();
          },
          [element](const std::vector<T>& value) {
            Json json = Json::array();
            for (const T& each : value) json.push_back(element.write(each));
            return json;
          }};
}

// `absent` (null, or a word such as "auto") stands for no value.
template <class T>
Codec<std::optional<T>> optional_of(Codec<T> element, Json absent) {
  const std::string expects = element.expects + " or " + absent.dump();
  return {expects,
          [element, absent](const Json& json, const ReadContext& context, std::optional<T>& value) {
            if (json == absent) {
              value.reset();
              return std::string();
            }
            T read{};
            const std::string wrong = element.read(json, context, read);
            if (!wrong.empty()) return wrong + " or " + absent.dump();
            value = std::move(read);
            return std::string();
          },
          [element, absent](const std::optional<T>& value) {
            return value ? element.write(*value) : absent;
          }};
}

// One of the words. `refused` are words that other versions or programs know, with the reason.
template <class E>
Codec<E> one_of(std::vector<std::pair<std::string, E>> choices,
                std::vector<std::pair<std::string, std::string>> refused = {}) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  return {list_of_words(words),
          [choices, refused, words](const Json& json, const ReadContext&, E& value) {
            if (!json.is_string()) return list_of_words(words);
            const std::string& given = json.get_ref<const std::string&>();
            for (const auto& [word, meant] : choices) {
              if (given == word) {
                value = meant;
                return std::string();
              }
            }
            for (const auto& [word, reason] : refused) {
              if (given == word) return reason + "; use " + list_of_words(words);
            }
            return not_one_of(given, words);
          },
          [choices](const E& value) {
            for (const auto& [word, meant] : choices) {
              if (meant == value) return Json(word);
            }
            return Json();
          }};
}

// A field of a struct: its key, and how to get from JSON to the member and back.
template <class Struct>
struct FieldOf {
  std::string key;
  std::string expects;
  std::string sentence;
  std::function<std::string(const Json&, const ReadContext&, Struct&)> read;
  std::function<Json(const Struct&)> write;
};

template <class Struct, class T>
FieldOf<Struct> field(std::string key, T Struct::*member, Codec<T> codec, std::string sentence) {
  return {std::move(key), codec.expects, std::move(sentence),
          [member, read = codec.read](const Json& json, const ReadContext& context, Struct& owner) {
            return read(json, context, owner.*member);
          },
          [member, write = codec.write](const Struct& owner) { return write(owner.*member); }};
}

}  // namespace ingot
