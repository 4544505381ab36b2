#include "data/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"
#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::size_t kBlockBytes = 64 * 1024;

// What utf8proc (Unicode 15) reorders or composes and Hugging Face's tables do not: ranges, last
// included. U+11A7 stands one before the Hangul finals and is none; utf8proc 2.8 takes it for "no
// final" and drops it behind a syllable.
constexpr std::array<std::pair<char32_t, char32_t>, 38> kUnknownThere = {{
    {0x07FD, 0x07FD},   {0x0898, 0x089F},   {0x08CA, 0x08D3},   {0x09FE, 0x09FE},
    {0x0C3C, 0x0C3C},   {0x0D3B, 0x0D3C},   {0x0EBA, 0x0EBA},   {0x11A7, 0x11A7},
    {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},
    {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50},
    {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E},
    {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x1193D, 0x1193E}, {0x11943, 0x11943},
    {0x119E0, 0x119E0}, {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99},
    {0x11D42, 0x11D42}, {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42},
    {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
}};

bool is_unknown_there(char32_t c) {
  const auto range =
      std::lower_bound(kUnknownThere.begin(), kUnknownThere.end(), c,
                       [](const auto& range, char32_t c) { return range.second < c; });
  return range != kUnknownThere.end() && range->first <= c;
}

// No character composes with one of these before it: a text may be cut in front of it.
bool starts_afresh(char32_t c) {
  return c < 0x80 || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7A3);
}

void append_nfc(std::string_view text, std::string& out) {
  utf8proc_uint8_t* mapped = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
  if (size < 0)
    throw Error(ErrorCode::data, std::string("NFC failed: ") + utf8proc_errmsg(size), "normalizer");
  out.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(size));
}

// The end of a part that can be normalized on its own; text[begin] is not ASCII.
std::size_t part_end(std::string_view text, std::size_t begin) {
  std::size_t end = begin;
  while (end < text.size()) {
    const CodePoint c = decode_valid(text.data() + end);
    if (c.value < 0x80 || (end - begin >= kBlockBytes && starts_afresh(c.value)) ||
        is_unknown_there(c.value))
      break;
    end += c.size;
  }
  return end;
}

}  // namespace

std::string_view normalize(Normalization form, std::string_view text, std::string& buffer) {
  if (form == Normalization::none || ascii_prefix(text) == text.size()) return text;
  buffer.clear();
  buffer.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    // The last ASCII character may compose with what follows it.
    const std::size_t ascii = at + ascii_prefix(text.substr(at));
    const std::size_t begin = ascii > at && ascii < text.size() ? ascii - 1 : ascii;
    buffer.append(text.substr(at, begin - at));
    const std::size_t end = part_end(text, ascii);
    if (begin < end) append_nfc(text.substr(begin, end - begin), buffer);
    at = end;
    if (begin == end && at < text.size()) {  // a character to be left alone
      const int size = decode_valid(text.data() + at).size;
      buffer.append(text.substr(at, size));
      at += size;
    }
  }
  return buffer;
}

}  // namespace ingot
