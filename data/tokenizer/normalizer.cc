#include "data/tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "data/tokenizer/code_point_set.h"
#include "engine/base/error.h"
#include "engine/base/utf8.h"

namespace ingot {
namespace {

constexpr std::size_t kBlockBytes = 64 * 1024;

// Left alone: what Hugging Face's tables, those of Unicode 9.0, do not know, so that the library's
// version does not matter either. U+11A7 stands one before the Hangul finals and is none; utf8proc
// 2.8 takes it for "no final" and drops it behind a syllable.
bool is_unknown_there(char32_t c) { return c == 0x11A7 || younger_than_unicode_9().contains(c); }

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
