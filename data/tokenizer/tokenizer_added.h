// Finds the added tokens of a tokenizer in a text: at each place the longest, from left to right.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer_spec.h"

namespace ingot {

// Immutable; any number of threads may search.
class AddedTokenMatcher {
 public:
  // Keeps views of nothing. Contents must differ and not be empty.
  explicit AddedTokenMatcher(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }

  // Calls text_part(std::string_view) and token(id) for the parts of the text in order; text parts
  // are not empty. White space that a token strips belongs to the token. The text may be any bytes.
  //
  // Where a token is itself white space that the one before has stripped, tokenizers' order of
  // things counts: with lstrip it is left out if nothing of it is left, without it stands all the
  // same, and what the one before took of the white space behind it is text again.
  template <class TextPart, class Token>
  void split(std::string_view text, TextPart&& text_part, Token&& token) const;

 private:
  struct Found {
    std::size_t begin, end;
    const AddedToken* token;  // nullptr: no more
  };
  struct Node {
    std::int32_t child = -1, sibling = -1;
    std::int32_t token = -1;
    char byte = 0;
  };

  Found find(std::string_view text, std::size_t from) const;
  bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) const;
  void insert(const AddedToken& token, std::int32_t index);

  std::vector<AddedToken> tokens_;
  std::array<std::int32_t, 256> roots_;  // the node of each first byte, -1: no token starts so
  std::vector<Node> nodes_;
};

// How many bytes of white space the text starts or ends with; stops at invalid UTF-8.
std::size_t leading_white_space(std::string_view text);
std::size_t trailing_white_space(std::string_view text);

template <class TextPart, class Token>
void AddedTokenMatcher::split(std::string_view text, TextPart&& text_part, Token&& token) const {
  std::size_t done = 0;  // everything before is emitted
  for (std::size_t from = 0; !tokens_.empty();) {
    Found found = find(text, from);
    if (found.token == nullptr) break;
    from = found.end;
    if (found.token->single_word && !stands_alone(text, found.begin, found.end)) continue;
    if (found.token->lstrip) {
      const std::size_t stripped = trailing_white_space(text.substr(0, found.begin));
      found.begin = std::max(found.begin - stripped, done);
    }
    if (found.token->rstrip) found.end += leading_white_space(text.substr(found.end));
    if (done < found.begin) text_part(text.substr(done, found.begin - done));
    if (found.begin >= found.end) continue;  // white space that the token before has taken
    token(found.token->id);
    done = found.end;
  }
  if (done < text.size()) text_part(text.substr(done));
}

}  // namespace ingot
