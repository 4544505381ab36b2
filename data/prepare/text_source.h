// Text files, folders and JSONL as a stream of pieces of bounded size, in a fixed order.
//
// A text file is one document; an object of a JSON file (JSON lines, or an array of objects) is
// one. Files may be compressed (gzip, zstd). Where a text is cut is decided by its bytes alone, so
// that pieces do not depend on threads or on where a run was resumed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/prepare/text_file.h"

namespace ingot {

struct TextInputs {
  std::vector<TextFile> files;
  std::uint64_t bytes = 0;                          // of all files
  std::uint64_t empty_files = 0, binary_files = 0;  // left out
  std::vector<std::string> notes;  // what was left out and why, a line for each kind

  // Of all paths, sizes and times of change.
  std::uint64_t fingerprint() const;
};

// Files are taken in the given order; a folder stands for the files below it, by name in byte
// order. Left out in folders: hidden names, files of a known binary format or with a NUL byte in
// their first 4096 bytes, what is no regular file, links that lead nowhere or back into a folder
// already seen, and `excluded` (where the result will be written). Empty files are left out
// everywhere.
//
// A file holds JSON objects if its name says so (.jsonl, .ndjson, .jsonlines, in any case, before
// .gz or .zst), or if it begins with an object that has `field`, or with an array of them.
//
// Error(data) for a path that is missing or unreadable, a named file that is binary or a .json of
// objects without `field`, and when nothing is left.
TextInputs find_text(std::span<const std::string> paths, const std::filesystem::path& excluded = {},
                     std::string_view field = "text");

// Whether a path's name says JSON lines.
bool is_json_lines(std::string_view path);

// A place in the stream: byte `offset` of file number `file`.
struct TextPosition {
  std::uint64_t file = 0, offset = 0;

  bool operator==(const TextPosition&) const = default;
};

// A part of one text file, or whole lines of one JSONL file.
struct TextSegment {
  std::size_t begin = 0, size = 0;  // in the piece's bytes
  TextPosition from;
  bool first = false, last = false;  // of its document; for text files
};

struct TextPiece {
  std::string bytes;
  std::vector<TextSegment> segments;
  TextPosition begin, end;
};

struct TextSourceOptions {
  std::size_t piece_bytes = std::size_t{1} << 18;   // a piece is no larger, but for a long line
  std::size_t longest_line = std::size_t{1} << 26;  // of JSONL; a longer one is an Error(data)
};

// Holds no more of a file than one piece. The inputs must outlive the source.
class TextSource {
 public:
  // The stream from `begin` to `end`, two places of validation_start() or {0, 0} and end_of().
  // A document that `begin` or `end` cuts is two documents.
  TextSource(const TextInputs& inputs, const TextSourceOptions& options, TextPosition begin,
             TextPosition end);

  // False at the end. Error(data) when a file has shrunk or gone, or a line is too long.
  bool next(TextPiece& piece);

  // Goes on at the `end` (or `begin`) of a piece of this stream.
  void seek(TextPosition position);

 private:
  bool open_file();
  std::uint64_t file_end() const;
  void fill_from_text(TextPiece& piece);
  void fill_from_jsonl(TextPiece& piece);
  // Bytes offset .. offset + size of the open file, appended to the piece.
  void read(std::uint64_t offset, std::size_t size, std::string& bytes);

  const TextInputs& inputs_;
  TextSourceOptions options_;
  TextPosition begin_, end_, position_;
  std::optional<TextBytes> file_;
  std::uint64_t open_file_ = 0;
};

TextPosition end_of(const TextInputs& inputs);

// The first place at or after this byte of the stream where it may be cut: between files, between
// lines of JSONL, and in a text as last_place_to_cut() would.
TextPosition place_after(const TextInputs& inputs, std::uint64_t byte);

// How many bytes of the stream lie before a place.
std::uint64_t bytes_before(const TextInputs& inputs, TextPosition position);

// Where the last part of the stream begins, about `fraction` of all bytes: a document's start where
// that takes no more than half of the part away, else a place to cut within one (never within a
// line of JSONL). end_of(inputs) when nothing can be cut off.
TextPosition validation_start(const TextInputs& inputs, double fraction);

// Where to cut a text that goes on beyond its end, so that encoding both parts gives the tokens of
// the whole: after a newline, or else before a space, that stands between a visible ASCII character
// and an ASCII letter. Pre-tokenizers of the GPT-2, Llama-3, Qwen and DeepSeek kinds all separate
// there, whatever comes before and after. (Not after an empty line: GPT-2's takes its newlines
// together at the end of a text only.) Without such a place in the second half: after any newline,
// else between two UTF-8 characters; the tokens at the cut may then differ.
// text: at least 2 bytes. Returns 1 .. text.size() - 1.
std::size_t last_place_to_cut(std::string_view text);

// "path, line 12" or "path, object 12": for messages; reads the file up to the offset.
std::string line_at(const TextInputs& inputs, TextPosition position);

}  // namespace ingot
