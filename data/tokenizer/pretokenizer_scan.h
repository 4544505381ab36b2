// Hand-written matchers for the pre-tokenizers that nearly every model uses. Each cuts a text into
// the same pieces as the regex written above it (pretokenizer_test.cc holds them against PCRE2), in
// one pass, without backtracking, and calls sink(begin, end) for every piece in order. Pieces are
// never empty.
//
// The text must be valid UTF-8.
#pragma once

#include "data/tokenizer/pretokenizer_unicode.h"

namespace ingot {

class PieceScanner {
 public:
  PieceScanner() : classes_(character_classes().data()) {}

  // 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
  template <class Sink>
  void gpt2(const char* begin, const char* end, Sink&& sink) const {
    for (const char* p = begin; p < end;) {
      const char* stop = match_gpt2(p, end);
      sink(p, stop);
      p = stop;
    }
  }

  // (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|
  // ?[^\s\p{L}\p{N}]+[\r\n]*| \s*[\r\n]+|\s+(?!\S)|\s+            (one expression; Llama-3 has
  // digits = 3, Qwen2 has \p{N}: 1)
  template <class Sink>
  void llama3(const char* begin, const char* end, int digits, Sink&& sink) const {
    for (const char* p = begin; p < end;) {
      const char* stop = match_llama3(p, end, digits);
      sink(p, stop);
      p = stop;
    }
  }

  // Three splits in turn: \p{N}{1,3}, then [一-龥぀-ゟ゠-ヿ]+, then match_deepseek_v3's
  // expression.
  template <class Sink>
  void deepseek_v3(const char* begin, const char* end, Sink&& sink) const {
    for (const char* p = begin; p < end;) {
      if (class_at(p).classes & kNumber) {
        const char* stop = run(p, end, kNumber, 3);
        sink(p, stop);
        p = stop;
      } else {
        const char* stop = end_of_deepseek_v3_chunk(p, end);
        deepseek_v3_chunk(p, stop, sink);
        p = stop;
      }
    }
  }

 private:
  struct Character {
    std::uint8_t classes;
    int size;
  };
  Character class_at(const char* p) const {
    if (static_cast<signed char>(*p) >= 0) return {classes_[static_cast<unsigned char>(*p)], 1};
    const CodePoint c = decode_valid(p);
    return {classes_[c.value], c.size};
  }

  // The end of the run of at most `limit` characters that have any of the classes.
  const char* run(const char* p, const char* end, unsigned classes, int limit = INT32_MAX) const {
    for (; p < end && limit > 0; --limit) {
      const Character c = class_at(p);
      if (!(c.classes & classes)) break;
      p += c.size;
    }
    return p;
  }
  // The end of the run of characters that have none of the classes.
  const char* run_without(const char* p, const char* end, unsigned classes) const {
    while (p < end) {
      const Character c = class_at(p);
      if (c.classes & classes) break;
      p += c.size;
    }
    return p;
  }
  static bool is_newline(char c) { return c == '\n' || c == '\r'; }
  static bool is_ascii_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
  static const char* newlines(const char* p, const char* end) {
    while (p < end && is_newline(*p)) ++p;
    return p;
  }

  // \s+(?!\S)|\s+: all of the white space at the end of the text, else all but its last character.
  // With newlines_first, \s*[\r\n]+ goes before: up to the last newline, if there is one.
  const char* white_space(const char* p, const char* end, bool newlines_first) const {
    const char *stop = p, *last = p, *after_newline = nullptr;
    while (stop < end) {
      const Character c = class_at(stop);
      if (!(c.classes & kSpace)) break;
      last = stop;
      if (is_newline(*stop)) after_newline = stop + 1;
      stop += c.size;
    }
    if (newlines_first && after_newline) return after_newline;
    return stop == end || last == p ? stop : last;
  }

  // The end of 's 't 're 've 'm 'll 'd at p (which holds '), or nullptr.
  static const char* contraction(const char* p, const char* end, bool any_case) {
    const auto at = [&](int i) -> unsigned char {
      if (p + i >= end) return 0;
      return any_case && is_ascii_letter(p[i]) ? p[i] | 0x20 : p[i];
    };
    const unsigned char a = at(1), b = at(2);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return p + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return p + 3;
    if (any_case && a == 0xC5 && b == 0xBF)
      return p + 3;  // U+017F, the long s, is an s in any case
    return nullptr;
  }

  const char* match_gpt2(const char* p, const char* end) const {
    if (*p == '\'') {
      if (const char* stop = contraction(p, end, false)) return stop;
    }
    const char* word = *p == ' ' && p + 1 < end ? p + 1 : p;
    const std::uint8_t classes = class_at(word).classes;
    if (classes & kLetter) return run(word, end, kLetter);
    if (classes & kNumber) return run(word, end, kNumber);
    if (!(classes & kSpace)) return run_without(word, end, kSpace | kLetter | kNumber);
    return white_space(p, end, false);
  }

  const char* match_llama3(const char* p, const char* end, int digits) const {
    if (*p == '\'') {
      if (const char* stop = contraction(p, end, true)) return stop;
    }
    const Character first = class_at(p);
    if (first.classes & kLetter) return run(p, end, kLetter);
    if (first.classes & kNumber) return run(p, end, kNumber, digits);
    const char* next = p + first.size;
    if (!is_newline(*p) && next < end && (class_at(next).classes & kLetter))
      return run(next, end, kLetter);
    const char* word = *p == ' ' && next < end ? next : p;
    if (!(class_at(word).classes & (kSpace | kLetter | kNumber))) {
      return newlines(run_without(word, end, kSpace | kLetter | kNumber), end);
    }
    return white_space(p, end, true);
  }

  static bool is_kana_or_han(char32_t c) {
    return (c >= 0x4E00 && c <= 0x9FA5) || (c >= 0x3040 && c <= 0x30FF);
  }

  // p holds no number. A chunk is a run of kana and Han, or of anything else but these and numbers.
  const char* end_of_deepseek_v3_chunk(const char* p, const char* end) const {
    const bool han = is_kana_or_han(decode_valid(p).value);
    while (p < end) {
      if (static_cast<signed char>(*p) >= 0) {
        if (han || (*p >= '0' && *p <= '9')) break;
        ++p;
        continue;
      }
      const CodePoint c = decode_valid(p);
      if (is_kana_or_han(c.value) != han || (classes_[c.value] & kNumber)) break;
      p += c.size;
    }
    return p;
  }

  // What the third expression does not match is a piece, too.
  template <class Sink>
  void deepseek_v3_chunk(const char* begin, const char* end, Sink&& sink) const {
    const char* gap = begin;
    for (const char* p = begin; p < end;) {
      const char* stop = match_deepseek_v3(p, end);
      if (stop == nullptr) {
        p += class_at(p).size;
        continue;
      }
      if (gap < p) sink(gap, p);
      sink(p, stop);
      gap = p = stop;
    }
    if (gap < end) sink(gap, end);
  }

  // [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|
  //  ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+      (one expression). nullptr: no match at p.
  const char* match_deepseek_v3(const char* p, const char* end) const {
    const Character first = class_at(p);
    if (first.classes & (kLetter | kMark)) return run(p, end, kLetter | kMark);
    const char* next = p + first.size;
    if (first.classes & (kPunctuation | kSymbol)) {
      if (first.size == 1 && next < end && is_ascii_letter(*next)) {
        while (next < end && is_ascii_letter(*next)) ++next;
        return next;
      }
      return newlines(run(next, end, kPunctuation | kSymbol), end);
    }
    if (next < end && !is_newline(*p)) {
      const std::uint8_t second = class_at(next).classes;
      if (second & (kLetter | kMark)) return run(next, end, kLetter | kMark);
      if (*p == ' ' && (second & (kPunctuation | kSymbol))) {
        return newlines(run(next, end, kPunctuation | kSymbol), end);
      }
    }
    return first.classes & kSpace ? white_space(p, end, true) : nullptr;
  }

  const std::uint8_t* classes_;
};

}  // namespace ingot
