// What a pre-tokenizer must know about characters: Unicode's character classes.
//
// The classes are a table of our own (Unicode 16.0) and not a library's, so that a text gives the
// same tokens on every machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/base/utf8.h"

namespace ingot {

// Bits of a code point's class. At most one of the first five is set; kSpace is \s (White_Space),
// kWord is \w (letters, marks, decimal and letter numbers, connector punctuation, joiners).
// kOldPunctuation is what the "Punctuation" pre-tokenizer knows: \p{P} of Unicode 8 and the ASCII
// symbols.
enum CharacterClass : std::uint8_t {
  kLetter = 1,
  kMark = 2,
  kNumber = 4,
  kPunctuation = 8,
  kSymbol = 16,
  kSpace = 32,
  kWord = 64,
  kOldPunctuation = 128,
};

inline constexpr std::size_t kCodePoints = 0x110000;

// One byte per code point, built at first use.
const std::array<std::uint8_t, kCodePoints>& character_classes();

}  // namespace ingot
