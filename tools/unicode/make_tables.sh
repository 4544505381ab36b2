#!/usr/bin/env bash
# make_tables.sh [FOLDER]   Prints data/tokenizer/unicode_tables.h.
#
# FOLDER holds UnicodeData.txt, Scripts.txt and DerivedAge.txt of the Unicode Character Database
# (https://www.unicode.org/Public/16.0.0/ucd/); by default the one of Debian's package
# unicode-data. The committed tables are those of Unicode 16.0, which Hugging Face's tokenizers 0.23
# use. Ids hang on them: another version is another tokenizer for texts with younger characters.
set -euo pipefail
folder=${1:-/usr/share/unicode}
version=$(sed -n '1s/^# Scripts-\([0-9.]*\)\.txt$/\1/p' "$folder/Scripts.txt")

# Ranges with one value each, from code point 0 on: `value[code point]` of the awk program before.
hex='
  function number(text,    i, n) {
    n = 0
    for (i = 1; i <= length(text); i++) n = 16 * n + index("123456789ABCDEF", substr(text, i, 1))
    return n
  }
  function split_range(text,    ends, count) {
    count = split(text, ends, "\\.\\.")
    first = number(ends[1])
    last = count == 2 ? number(ends[2]) : first
  }
  function starts(    c, before) {
    before = -1
    for (c = 0; c < 1114112; c++) {
      if (value[c] + 0 == before) continue
      before = value[c] + 0
      printf "%s0x%x,", n++ % 10 == 0 ? "\n    " : " ", 256 * c + before
    }
    print "\n};"
  }'

cat <<HEADER
// Tables of Unicode $version, written by tools/unicode/make_tables.sh; not to be edited.
//
// An entry says: from code point (entry >> 8) up to the next entry's, the value is (entry & 0xff).
#pragma once

#include <cstdint>
#include <string_view>

namespace ingot {

inline constexpr std::string_view kUnicodeVersion = "$version";

// clang-format off
// General categories, in the order of the names; what is not assigned is "Cn".
inline constexpr std::string_view kCategoryNames[] = {
    "Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
    "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co"};
HEADER

printf 'inline constexpr std::uint32_t kCategoryStarts[] = {'
awk -F';' "$hex"'
  BEGIN {
    count = split("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co", names, " ")
    for (i = 1; i <= count; i++) code[names[i]] = i - 1
  }
  {
    c = number($1)
    for (i = $2 ~ /, Last>$/ ? first_of_range : c; i <= c; i++) value[i] = code[$3]
    first_of_range = c
  }
  END { starts() }' "$folder/UnicodeData.txt"

scripts=$(awk '!/^#/ && NF >= 3 { print $3 == "#" ? $2 : $3 }' FS='[ ;]+' "$folder/Scripts.txt" |
  grep . | LC_ALL=C sort -u)
printf '\n// Scripts, in the order of the names; none is "".\n'
printf 'inline constexpr std::string_view kScriptNames[] = {\n    ""'
printf '%s\n' "$scripts" | awk '{ printf ",%s\"%s\"", NR % 5 == 1 ? "\n    " : " ", $1 }'
printf '};\ninline constexpr std::uint32_t kScriptStarts[] = {'
awk -v names="$scripts" "$hex"'
  BEGIN {
    count = split(names, list, "\n")
    for (i = 1; i <= count; i++) code[list[i]] = i
    FS = "[ \t]*[;#][ \t]*"
  }
  /^[0-9A-F]/ { split_range($1); for (i = first; i <= last; i++) value[i] = code[$2] }
  END { starts() }' "$folder/Scripts.txt"

cat <<'AGE'

// 0: assigned by Unicode 8.0, 1: in 9.0, 2: later or not yet. Never changes.
AGE
printf 'inline constexpr std::uint32_t kAgeStarts[] = {'
awk "$hex"'
  BEGIN { FS = "[ \t]*[;#][ \t]*"; for (i = 0; i < 1114112; i++) value[i] = 2 }
  /^[0-9A-F]/ && $2 + 0 <= 9 { split_range($1); for (i = first; i <= last; i++) value[i] = $2 + 0 > 8 }
  END { starts() }' "$folder/DerivedAge.txt"
printf '// clang-format on\n\n}  // namespace ingot\n'
