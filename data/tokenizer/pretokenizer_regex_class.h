// One character of a set, in PCRE2's spelling. Internal to pretokenizer_regex_translate.cc.
#pragma once

#include <string>

#include "data/tokenizer/code_point_set.h"

namespace ingot {

// An atom that matches one character of the set (negated: one that is not in it), whatever version
// of Unicode the library has. caseless: the atom stands where case does not count.
std::string pcre2_class(const CodePointSet& set, bool negated = false, bool caseless = false);

}  // namespace ingot
