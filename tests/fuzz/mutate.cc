#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

namespace ingot::fuzz {
namespace {

struct Range {
  std::size_t begin, size;
};

// Mostly short, now and then anything up to the whole input.
Range random_range(const std::string& text, Rng& rng) {
  const std::size_t begin = rng.below(text.size() + 1);
  const std::size_t left = text.size() - begin;
  const std::size_t limit = rng.one_in(4) ? left : std::min<std::size_t>(left, 16);
  return {begin, rng.below(limit + 1)};
}

void flip_bit(std::string& text, Rng& rng) {
  if (text.empty()) return;
  text[rng.below(text.size())] ^= static_cast<char>(1u << rng.below(8));
}

void set_byte(std::string& text, Rng& rng) {
  static constexpr std::string_view kBytes(
      "\0\1\t\n\r \"\\/,:[]{}0-+.eE9\x7f\x80\xbf\xc0\xed\xf4\xff", 29);
  if (text.empty()) return;
  text[rng.below(text.size())] =
      rng.one_in(4) ? static_cast<char>(rng.next()) : kBytes[rng.below(kBytes.size())];
}

void erase_range(std::string& text, Rng& rng) {
  const Range range = random_range(text, rng);
  text.erase(range.begin, range.size);
}

void truncate(std::string& text, Rng& rng) { text.resize(rng.below(text.size() + 1)); }

void copy_range(std::string& text, Rng& rng) {
  const Range range = random_range(text, rng);
  const std::string part = text.substr(range.begin, std::min<std::size_t>(range.size, 1024));
  const std::size_t target = rng.below(text.size() + 1);
  if (rng.one_in(2)) {
    text.insert(target, part);
  } else {
    text.replace(target, std::min(part.size(), text.size() - target), part);
  }
}

void insert_noise(std::string& text, Rng& rng) {
  std::string noise(1 + rng.below(16), '\0');
  for (char& byte : noise) byte = static_cast<char>(rng.next());
  text.insert(rng.below(text.size() + 1), noise);
}

void replace_number(std::string& text, Rng& rng) {
  static constexpr std::array<std::string_view, 22> kNumbers = {"0",
                                                                "1",
                                                                "-1",
                                                                "2",
                                                                "255",
                                                                "256",
                                                                "65536",
                                                                "2147483647",
                                                                "2147483648",
                                                                "4294967295",
                                                                "4294967296",
                                                                "9007199254740993",
                                                                "9223372036854775807",
                                                                "9223372036854775808",
                                                                "18446744073709551615",
                                                                "99999999999999999999999",
                                                                "-9223372036854775808",
                                                                "1e308",
                                                                "1e999",
                                                                "-0",
                                                                "0.5",
                                                                "1e-400"};
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  // The first run of digits after a random place, else the first of all.
  auto begin = std::find_if(text.begin() + rng.below(text.size() + 1), text.end(), is_digit);
  if (begin == text.end()) begin = std::find_if(text.begin(), text.end(), is_digit);
  if (begin == text.end()) return insert_noise(text, rng);
  const auto end = std::find_if_not(begin, text.end(), is_digit);
  text.replace(begin, end, kNumbers[rng.below(kNumbers.size())]);
}

// An integer of 1, 2, 4 or 8 bytes, as in a binary header: sizes that are huge, zero or off by one.
void overwrite_integer(std::string& text, Rng& rng) {
  const std::size_t width = std::size_t{1} << rng.below(4);
  if (text.size() < width) return flip_bit(text, rng);
  // Headers lie at the front: half of the time stay there.
  const std::size_t places = text.size() - width + 1;
  const std::size_t place = rng.below(rng.one_in(2) ? std::min<std::size_t>(places, 64) : places);
  std::uint64_t value = 0;
  std::memcpy(&value, text.data() + place, width);
  switch (rng.below(6)) {
    case 0:
      value = 0;
      break;
    case 1:
      value = ~std::uint64_t{0};
      break;
    case 2:
      value = std::uint64_t{1} << (8 * width - 1);
      break;
    case 3:
      value += rng.one_in(2) ? 1 : ~std::uint64_t{0};
      break;
    case 4:
      value = rng.next() >> rng.below(64);
      break;
    default:
      value = text.size() + rng.below(17) - 8;
      break;
  }
  std::memcpy(text.data() + place, &value, width);
}

void replace_literal(std::string& text, Rng& rng) {
  static constexpr std::array<std::string_view, 12> kLiterals = {
      "null",        "true",        "false", "[]",       "{}",  "\"\"",
      "\"\\u0000\"", "\"\\ud800\"", "[[]]",  "{\"\":0}", "NaN", ","};
  // From where a value can begin to where it can end: what comes out is often still JSON.
  const std::size_t begin = text.find_first_of(":,[", rng.below(text.size() + 1));
  if (begin == std::string::npos) return set_byte(text, rng);
  const std::size_t end = std::min(text.find_first_of(",]}", begin + 1), text.size());
  text.replace(begin + 1, end - begin - 1, kLiterals[rng.below(kLiterals.size())]);
}

// The end of the value that starts with the bracket at `begin`; strings are not looked into.
std::size_t closing(const std::string& text, std::size_t begin) {
  int depth = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    if (text[i] == '[' || text[i] == '{') ++depth;
    if ((text[i] == ']' || text[i] == '}') && --depth == 0) return i + 1;
  }
  return text.size();
}

// Empties, doubles or moves a whole [...] or {...}.
void change_structure(std::string& text, Rng& rng) {
  const std::size_t begin = text.find_first_of("[{", rng.below(text.size() + 1));
  if (begin == std::string::npos) return copy_range(text, rng);
  const std::string value = text.substr(begin, closing(text, begin) - begin);
  switch (rng.below(3)) {
    case 0:
      text.replace(begin, value.size(), rng.one_in(2) ? "[]" : "{}");
      break;
    case 1:
      if (value.size() <= 4096) text.insert(begin, value + ",");
      break;
    default:
      text.erase(begin, value.size());
      text.insert(rng.below(text.size() + 1), value);
      break;
  }
}

void nest(std::string& text, Rng& rng) {
  const std::size_t depth = rng.one_in(8) ? 50000 : 1 + rng.below(300);
  const bool arrays = rng.one_in(2);
  std::string open, close;
  for (std::size_t i = 0; i < depth; ++i) open += arrays ? "[" : "{\"a\":";
  if (open.size() > 100000) open.resize(100000);
  if (rng.one_in(2)) close.assign(depth, arrays ? ']' : '}');
  const std::size_t place = rng.below(text.size() + 1);
  text.insert(place, open + close);
}

void mutate_once(std::string& text, Rng& rng) {
  static constexpr std::array kMutations = {flip_bit,          set_byte,        erase_range,
                                            copy_range,        insert_noise,    replace_number,
                                            overwrite_integer, replace_literal, change_structure};
  // These two destroy most of the input's meaning: rarer, so that the rest is reached.
  if (rng.one_in(24)) return truncate(text, rng);
  if (rng.one_in(48)) return nest(text, rng);
  kMutations[rng.below(kMutations.size())](text, rng);
}

}  // namespace

std::string mutate(std::string_view seed_input, Rng& rng) {
  std::string text(seed_input);
  // Half of the outputs differ by one mutation only: those get deepest into the parser.
  const std::size_t count = rng.one_in(2) ? 1 : 1 + rng.below(8);
  for (std::size_t i = 0; i < count; ++i) mutate_once(text, rng);
  return text;
}

std::string mutate(std::string_view seed_input, std::string_view other, Rng& rng) {
  if (!rng.one_in(8) || other.empty()) return mutate(seed_input, rng);
  std::string text(seed_input);
  const std::size_t begin = rng.below(other.size());
  const std::string_view part =
      other.substr(begin, rng.below(std::min<std::size_t>(other.size() - begin, 512) + 1));
  const std::size_t target = rng.below(text.size() + 1);
  text.replace(target, rng.below(part.size() + 1), part);
  return text;
}

}  // namespace ingot::fuzz
