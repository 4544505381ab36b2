#define PCRE2_CODE_UNIT_WIDTH 8
#include "data/tokenizer/pretokenizer_regex_class.h"

#include <pcre2.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <new>
#include <optional>
#include <vector>

#include "engine/base/utf8.h"

namespace ingot {
namespace {

constexpr CodePointSet::Range kSurrogates = {0xD800, 0xDFFF};
// A category of fewer ranges is spelled out.
constexpr std::size_t kFewRanges = 8;

// Every code point that has a UTF-8 form, in order.
const std::string& all_characters() {
  static const std::string text = [] {
    std::string all;
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (c < kSurrogates.first || c > kSurrogates.last) append_utf8(c, all);
    }
    return all;
  }();
  return text;
}

// What the library takes for a category.
CodePointSet scan_category(std::string_view name) {
  const std::string pattern = "\\p{" + std::string(name) + "}+";
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  if (!code || !data) throw std::bad_alloc();
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  const std::string& text = all_characters();
  CodePointSet set;
  for (PCRE2_SIZE from = 0; from < text.size();) {
    const int result = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                   from, PCRE2_NO_UTF_CHECK, data, nullptr);
    if (result < 0) break;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
    std::size_t last = bounds[1] - 1;
    while ((text[last] & 0xC0) == 0x80) --last;
    set.add(decode_valid(&text[bounds[0]]).value, decode_valid(&text[last]).value);
    from = bounds[1];
  }
  pcre2_match_data_free(data);
  pcre2_code_free(code);
  return set;
}

const std::vector<CodePointSet::Range>& ranges_of_category(int category) {
  static const auto all = [] {
    std::array<std::vector<CodePointSet::Range>, kCategories> all;
    for (int i = 0; i < kCategories; ++i) {
      all[static_cast<std::size_t>(i)] = code_points_of_category(i).ranges();
    }
    return all;
  }();
  return all[static_cast<std::size_t>(category)];
}

// All but one in a hundred. Most sets have nothing of most categories, which shows soon.
bool holds_category(const CodePointSet& set, int category) {
  std::size_t held = 0, missing = 0;
  for (const auto& range : ranges_of_category(category)) {
    for (char32_t c = range.first; c <= range.last; ++c) ++(set.contains(c) ? held : missing);
    if (missing > 1000 + held) return false;
  }
  return missing * 100 <= held;
}

const CodePointSet& pcre2_category(int category) {
  static std::mutex mutex;
  static std::array<std::optional<CodePointSet>, kCategories> known;
  const std::lock_guard lock(mutex);
  auto& set = known[static_cast<std::size_t>(category)];
  if (!set) set = scan_category(category_name(category));
  return *set;
}

std::string hex(char32_t c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "}";
  do {
    text.insert(text.begin(), kDigits[c % 16]);
    c /= 16;
  } while (c > 0);
  return "\\x{" + text;
}

// The largest ranges first: the library tries them in this order.
std::string members_of(const CodePointSet& set) {
  auto ranges = set.ranges();
  std::ranges::stable_sort(ranges, std::greater(), [](const auto& r) { return r.last - r.first; });
  std::string text;
  for (const auto& range : ranges) {
    text += hex(range.first);
    if (range.last > range.first) text += "-" + hex(range.last);
  }
  return text;
}

// A set as the library's categories that it holds, as the library knows them, and what is missing.
struct Members {
  std::string text;
  CodePointSet wrong;  // in the text, but not in the set
};

Members members_with_categories(const CodePointSet& set) {
  Members members;
  CodePointSet taken;
  for (int i = 0; i < kCategories; ++i) {
    if (ranges_of_category(i).size() < kFewRanges || !holds_category(set, i)) continue;
    taken |= pcre2_category(i);
    members.text.append("\\p{").append(category_name(i)).append("}");
  }
  members.text += members_of(set - taken);
  members.wrong = taken - set;
  return members;
}

}  // namespace

std::string pcre2_class(const CodePointSet& given, bool negated, bool caseless) {
  const CodePointSet surrogates{kSurrogates};
  CodePointSet set = given - surrogates;
  // With case out of the way a large set is the same as a negated small one.
  if (!caseless && set.size() > (0x110000 - 0x800) / 2) {
    set = ~set - surrogates;
    negated = !negated;
  }
  if (set.size() == 0) return negated ? "(?s:.)" : "(?!)";
  const Members members = members_with_categories(set);
  const std::string atom = (negated ? "[^" : "[") + members.text + "]";
  if (members.wrong.size() == 0) return atom;
  const std::string wrong = "[" + members_of(members.wrong) + "]";
  return negated ? "(?:" + atom + "|" + wrong + ")" : "(?:(?!" + wrong + ")" + atom + ")";
}

}  // namespace ingot
