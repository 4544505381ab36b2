// Pieces of text to tokens on several threads, handed on in the order of the text.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/prepare/text_source.h"
#include "data/tokenizer/tokenizer.h"

namespace ingot {

// A text within a piece: a document, or a part of one.
struct PieceText {
  std::string_view text;
  bool first = true, last = true;  // of its document
  TextPosition from;
};

// Calls visit for every text in the piece, JSONL lines resolved. Returns how many documents were
// empty. A byte order mark at a file's start is no text. Error(data) naming file and line for a
// line of JSONL that is no object with `field`. `scratch` keeps memory between calls.
std::uint64_t for_each_text(const TextInputs& inputs, const TextPiece& piece,
                            std::string_view field, std::string& scratch,
                            const std::function<void(const PieceText&)>& visit);

struct EncodedPiece {
  TextPiece text;
  std::vector<std::uint32_t> ids;      // documents from begin_of_text to end_of_text
  std::vector<std::size_t> documents;  // where in ids documents begin
  std::uint64_t empty_documents = 0;
  std::uint64_t not_utf8 = 0;  // texts with bytes that are not UTF-8, which are kept
  TextPosition first_not_utf8;
};

struct EncodeOptions {
  std::string field;
  std::vector<std::uint32_t> begin_of_text;  // before each document
  std::uint32_t end_of_text = 0;
  std::size_t longest_text = std::size_t{1} << 18;  // longer texts are cut (last_place_to_cut)
  int threads = 1;
};

// Reads and calls `sink` on the calling thread, encodes on `threads` others; a few pieces are in
// work at a time. The first error in the order of the text is thrown, after all before it went to
// the sink.
void encode_in_order(const TextInputs& inputs, const Tokenizer& tokenizer,
                     const EncodeOptions& options, TextSource& source,
                     const std::function<void(const EncodedPiece&)>& sink);

}  // namespace ingot
