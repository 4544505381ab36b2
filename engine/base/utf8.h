// UTF-8: characters in bytes that may be anything.
#pragma once

#include <cstddef>
#include <string_view>

namespace ingot {

inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // U+FEFF at a file's start

struct CodePoint {
  char32_t value;
  int size;  // bytes
};

// The code point at p. The text must be valid UTF-8 and p at the start of a character.
inline CodePoint decode_valid(const char* p) {
  const auto byte = [p](int i) { return static_cast<unsigned char>(p[i]); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xE0) return {(first & 0x1F) << 6 | (byte(1) & 0x3Fu), 2};
  if (first < 0xF0) return {(first & 0xF) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  return {(first & 7) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu),
          4};
}

// Bytes of the well-formed UTF-8 character at the start of text (no surrogates, no overlong forms,
// at most U+10FFFF); 0 if there is none.
int utf8_character_size(std::string_view text);

// Length of the longest prefix of text that is well-formed UTF-8.
std::size_t valid_utf8_prefix(std::string_view text);

// Length of the longest prefix of text that is ASCII.
std::size_t ascii_prefix(std::string_view text);

// Appends the UTF-8 form of a code point (not a surrogate, at most U+10FFFF).
void append_utf8(char32_t code_point, auto& text) {
  const auto push = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | code_point >> 6), push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | code_point >> 12), push(0x80 | (code_point >> 6 & 0x3F)),
        push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | code_point >> 18), push(0x80 | (code_point >> 12 & 0x3F));
    push(0x80 | (code_point >> 6 & 0x3F)), push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace ingot
