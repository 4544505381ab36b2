#include "engine/base/mistakes.h"

#include <algorithm>
#include <cctype>

namespace ingot {
namespace {

constexpr std::size_t kLongestWord = 64;  // what is longer is no misspelling of a key

char lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }

// Insertions, deletions, replacements and swaps of neighbours that lead from a to b.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = last;
    last = row;
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                           lower(a[i - 2]) == lower(b[j - 1]);
      if (swapped) row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

Error first_of(ErrorCode code, const std::vector<Mistake>& mistakes) {
  const Mistake& first = mistakes.front();
  std::string more;
  if (mistakes.size() > 1) more = " (and " + std::to_string(mistakes.size() - 1) + " more)";
  if (first.mend.empty()) return Error(code, first.what + more, first.where);
  return Error(code, first.what, first.where, first.mend + more);
}

}  // namespace

std::string Mistake::text() const {
  const std::string head = where.empty() ? what : where + ": " + what;
  return Error(ErrorCode::usage, head, "", mend).what();  // keeps it one line
}

ConfigError::ConfigError(ErrorCode code, const std::vector<Mistake>& mistakes)
    : Error(first_of(code, mistakes)) {
  for (const Mistake& mistake : mistakes) lines_.push_back(mistake.text());
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  if (word.size() > kLongestWord) return "";
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    if (const std::size_t steps = distance(word, candidate); steps < best_distance) {
      best = candidate;
      best_distance = steps;
    }
  }
  return best;
}

std::string clipped(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  if (text.size() <= kLongest) return std::string(text);
  std::size_t end = kLongest - 3;
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  while (end > 0 && continues(text[end])) --end;
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace ingot
