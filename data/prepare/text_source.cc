#include "data/prepare/text_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "engine/base/error.h"

namespace ingot {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 16;
// How far past the wanted place validation_start() looks for a good one within a document.
constexpr std::size_t kCutWindow = std::size_t{1} << 18;

bool is_visible(char c) { return c > ' ' && c <= '~'; }
bool is_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// A cut before text[i], 0 < i < text.size().
bool cuts_after_line(std::string_view text, std::size_t i) {
  return i >= 2 && text[i - 1] == '\n' && is_letter(text[i]) && is_visible(text[i - 2]);
}
bool cuts_before_word(std::string_view text, std::size_t i) {
  return i + 1 < text.size() && text[i] == ' ' && is_letter(text[i + 1]) && is_visible(text[i - 1]);
}

[[noreturn]] void throw_changed(const std::string& path) {
  throw Error(ErrorCode::data, "the file became shorter while it was read", path,
              "leave the input alone until `ingot prepare` is done");
}

// The offset just after the first newline at or after `from`; the file's size if there is none.
std::uint64_t next_line(TextBytes& file, const TextFile& info, std::uint64_t from) {
  std::string block(kBlock, '\0');
  while (from < info.size) {
    const std::size_t count = file.read_at(from, block);
    if (count == 0) break;
    const std::size_t at = std::string_view(block).substr(0, count).find('\n');
    if (at != std::string_view::npos) return std::min(info.size, from + at + 1);
    from += count;
  }
  return info.size;
}

// The start of the line that holds byte `from`.
std::uint64_t start_of_line(TextBytes& file, std::uint64_t from) {
  std::string block(kBlock, '\0');
  while (from > 0) {
    const std::uint64_t begin = from - std::min<std::uint64_t>(from, kBlock);
    const std::size_t size = static_cast<std::size_t>(from - begin);
    const std::size_t count = file.read_at(begin, std::span(block).first(size));
    const std::size_t at = std::string_view(block).substr(0, count).rfind('\n');
    if (at != std::string_view::npos) return begin + at + 1;
    from = begin;
  }
  return 0;
}

// The first good place to cut at or after `from`; none in reach: between two characters.
std::uint64_t first_place_to_cut(TextBytes& file, const TextFile& info, std::uint64_t from) {
  std::string window(std::min<std::uint64_t>(kCutWindow, info.size - from + 1), '\0');
  const std::uint64_t begin = from - 1;
  window.resize(file.read_at(begin, window));
  const auto search = [&](auto good) -> std::optional<std::uint64_t> {
    for (std::size_t i = 1; i < window.size(); ++i) {
      if (good(i)) return begin + i;
    }
    return std::nullopt;
  };
  if (const auto at = search([&](std::size_t i) { return cuts_after_line(window, i); })) return *at;
  if (const auto at = search([&](std::size_t i) { return window[i - 1] == '\n'; })) return *at;
  if (const auto at = search([&](std::size_t i) { return cuts_before_word(window, i); }))
    return *at;
  return search([&](std::size_t i) { return !is_continuation(window[i]); }).value_or(from);
}

// File and offset of a byte of the stream that is not its end.
TextPosition position_of(const TextInputs& inputs, std::uint64_t byte) {
  TextPosition position{0, byte};
  while (position.offset >= inputs.files[position.file].size) {
    position.offset -= inputs.files[position.file++].size;
  }
  return position;
}

TextPosition place_after(const TextInputs& inputs, TextPosition position) {
  if (position.offset == 0) return position;
  const TextFile& info = inputs.files[position.file];
  TextBytes file(info);
  position.offset = info.jsonl ? next_line(file, info, position.offset - 1)
                               : first_place_to_cut(file, info, position.offset);
  return position.offset < info.size ? position : TextPosition{position.file + 1, 0};
}

}  // namespace

TextPosition end_of(const TextInputs& inputs) { return {inputs.files.size(), 0}; }

TextPosition place_after(const TextInputs& inputs, std::uint64_t byte) {
  return byte < inputs.bytes ? place_after(inputs, position_of(inputs, byte)) : end_of(inputs);
}

std::uint64_t bytes_before(const TextInputs& inputs, TextPosition position) {
  std::uint64_t bytes = position.offset;
  for (std::uint64_t i = 0; i < position.file; ++i) bytes += inputs.files[i].size;
  return bytes;
}

TextPosition validation_start(const TextInputs& inputs, double fraction) {
  const auto part = static_cast<std::uint64_t>(std::llround(double(inputs.bytes) * fraction));
  if (part == 0) return end_of(inputs);
  if (part >= inputs.bytes) return {0, 0};
  const TextPosition wanted = position_of(inputs, inputs.bytes - part);
  const TextFile& info = inputs.files[wanted.file];
  if (wanted.offset > 0 && !info.jsonl && info.size - wanted.offset <= part / 2) {
    return {wanted.file + 1, 0};
  }
  const TextPosition place = place_after(inputs, wanted);
  if (!info.jsonl || place != end_of(inputs)) return place;
  // The last line is all there is to take, unless it is the first as well.
  TextBytes file(info);
  const std::uint64_t line = start_of_line(file, wanted.offset - 1);
  return line > 0 || wanted.file > 0 ? TextPosition{wanted.file, line} : place;
}

std::size_t last_place_to_cut(std::string_view text) {
  const std::size_t half = std::max<std::size_t>(1, text.size() / 2);
  for (std::size_t i = text.size() - 1; i >= half; --i) {
    if (cuts_after_line(text, i)) return i;
  }
  for (std::size_t i = text.size() - 1; i >= half; --i) {
    if (cuts_before_word(text, i)) return i;
  }
  for (std::size_t i = text.size() - 1; i >= half; --i) {
    if (text[i - 1] == '\n') return i;
  }
  for (std::size_t i = text.size() - 1; i >= half; --i) {
    if (!is_continuation(text[i])) return i;
  }
  return text.size() - 1;
}

std::string line_at(const TextInputs& inputs, TextPosition position) {
  const TextFile& info = inputs.files[position.file];
  TextBytes file(info);
  std::string block(kBlock, '\0');
  std::uint64_t line = 1;
  for (std::uint64_t at = 0; at < position.offset;) {
    const std::size_t size = std::min<std::uint64_t>(kBlock, position.offset - at);
    const std::size_t count = file.read_at(at, std::span(block).first(size));
    if (count == 0) break;
    line += static_cast<std::uint64_t>(std::count(block.begin(), block.begin() + count, '\n'));
    at += count;
  }
  return info.path + (info.spread ? ", object " : ", line ") + std::to_string(line);
}

TextSource::TextSource(const TextInputs& inputs, const TextSourceOptions& options,
                       TextPosition begin, TextPosition end)
    : inputs_(inputs), options_(options), begin_(begin), end_(end), position_(begin) {}

void TextSource::seek(TextPosition position) { position_ = position; }

std::uint64_t TextSource::file_end() const {
  return position_.file == end_.file ? end_.offset : inputs_.files[position_.file].size;
}

bool TextSource::open_file() {
  if (position_.file > end_.file ||
      (position_.file == end_.file && position_.offset >= end_.offset))
    return false;
  if (!file_ || open_file_ != position_.file) {
    file_.emplace(inputs_.files[position_.file]);
    open_file_ = position_.file;
  }
  return true;
}

void TextSource::read(std::uint64_t offset, std::size_t size, std::string& bytes) {
  const std::size_t before = bytes.size();
  bytes.resize(before + size);
  if (file_->read_at(offset, std::span(bytes).subspan(before)) < size) {
    throw_changed(inputs_.files[position_.file].path);
  }
}

bool TextSource::next(TextPiece& piece) {
  piece.bytes.clear();
  piece.segments.clear();
  piece.begin = position_;
  // Whole files as long as they fit; one that is larger starts a piece of its own.
  while (position_.file < inputs_.files.size()) {
    const std::uint64_t rest = file_end() - std::min(file_end(), position_.offset);
    if (!piece.bytes.empty() && rest > options_.piece_bytes - piece.bytes.size()) break;
    if (!open_file()) break;
    if (inputs_.files[position_.file].jsonl) {
      fill_from_jsonl(piece);
    } else {
      fill_from_text(piece);
    }
    if (position_.offset >= inputs_.files[position_.file].size) position_ = {position_.file + 1, 0};
    if (piece.bytes.size() >= options_.piece_bytes || position_.offset != 0) break;
  }
  piece.end = position_;
  return !piece.segments.empty();
}

void TextSource::fill_from_text(TextPiece& piece) {
  const std::uint64_t rest = file_end() - position_.offset;
  const std::size_t room = options_.piece_bytes - piece.bytes.size();
  TextSegment segment{.begin = piece.bytes.size(),
                      .size = static_cast<std::size_t>(std::min<std::uint64_t>(rest, room)),
                      .from = position_,
                      .first = position_.offset == 0 || position_ == begin_};
  read(position_.offset, segment.size, piece.bytes);
  if (segment.size < rest) {
    segment.size = last_place_to_cut(std::string_view(piece.bytes).substr(segment.begin));
    piece.bytes.resize(segment.begin + segment.size);
  }
  position_.offset += segment.size;
  segment.last = position_.offset == file_end();
  piece.segments.push_back(segment);
}

void TextSource::fill_from_jsonl(TextPiece& piece) {
  const std::uint64_t rest = file_end() - position_.offset;
  TextSegment segment{.begin = piece.bytes.size(), .from = position_};
  std::size_t wanted = options_.piece_bytes - piece.bytes.size();
  for (;;) {
    const std::size_t have = piece.bytes.size() - segment.begin;
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(rest, wanted));
    read(position_.offset + have, size - have, piece.bytes);
    if (size == rest) break;
    const std::size_t newline = piece.bytes.rfind('\n');
    if (newline != std::string::npos && newline >= segment.begin) {
      piece.bytes.resize(newline + 1);
      break;
    }
    if (size >= options_.longest_line) {
      throw Error(ErrorCode::data,
                  "a line of more than " + std::to_string(options_.longest_line) + " bytes",
                  line_at(inputs_, position_), "is this JSONL, one object per line?");
    }
    wanted = std::min(2 * size, options_.longest_line);
  }
  segment.size = piece.bytes.size() - segment.begin;
  position_.offset += segment.size;
  piece.segments.push_back(segment);
}

}  // namespace ingot
