#include "data/tokenizer/tokenizer_added.h"

#include <utility>

#include "data/tokenizer/pretokenizer_unicode.h"

namespace ingot {
namespace {

// The character that ends where the text ends; size 0 if there is none.
CodePoint last_character(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && text.size() - begin < 4) {
    --begin;
    if ((text[begin] & 0xC0) != 0x80) break;
  }
  const std::string_view tail = text.substr(begin);
  const int size = utf8_character_size(tail);
  if (size == 0 || static_cast<std::size_t>(size) != tail.size()) return {0, 0};
  return decode_valid(tail.data());
}

CodePoint first_character(std::string_view text) {
  if (utf8_character_size(text) == 0) return {0, 0};
  return decode_valid(text.data());
}

bool has_class(CodePoint c, unsigned classes) {
  return c.size > 0 && (character_classes()[c.value] & classes);
}

}  // namespace

std::size_t leading_white_space(std::string_view text) {
  std::size_t size = 0;
  for (CodePoint c; has_class(c = first_character(text.substr(size)), kSpace);) size += c.size;
  return size;
}

std::size_t trailing_white_space(std::string_view text) {
  std::size_t size = 0;
  for (CodePoint c; has_class(c = last_character(text.substr(0, text.size() - size)), kSpace);)
    size += c.size;
  return size;
}

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  roots_.fill(-1);
  for (std::size_t i = 0; i < tokens_.size(); ++i) insert(tokens_[i], static_cast<std::int32_t>(i));
}

void AddedTokenMatcher::insert(const AddedToken& token, std::int32_t index) {
  const auto add_node = [this](char byte, std::int32_t sibling) {
    nodes_.push_back({.sibling = sibling, .byte = byte});
    return static_cast<std::int32_t>(nodes_.size() - 1);
  };
  std::int32_t& root = roots_[static_cast<unsigned char>(token.content[0])];
  if (root < 0) root = add_node(token.content[0], -1);
  std::int32_t at = root;
  for (const char byte : token.content.substr(1)) {
    std::int32_t child = nodes_[at].child;
    while (child >= 0 && nodes_[child].byte != byte) child = nodes_[child].sibling;
    if (child < 0) {
      child = add_node(byte, nodes_[at].child);
      nodes_[at].child = child;
    }
    at = child;
  }
  nodes_[at].token = index;
}

AddedTokenMatcher::Found AddedTokenMatcher::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    std::int32_t at = roots_[static_cast<unsigned char>(text[begin])];
    if (at < 0) continue;
    Found longest{begin, 0, nullptr};
    for (std::size_t end = begin + 1;; ++end) {
      if (nodes_[at].token >= 0) longest = {begin, end, &tokens_[nodes_[at].token]};
      if (end == text.size()) break;
      at = nodes_[at].child;
      while (at >= 0 && nodes_[at].byte != text[end]) at = nodes_[at].sibling;
      if (at < 0) break;
    }
    if (longest.token) return longest;
  }
  return {0, 0, nullptr};
}

bool AddedTokenMatcher::stands_alone(std::string_view text, std::size_t begin,
                                     std::size_t end) const {
  return !has_class(last_character(text.substr(0, begin)), kWord) &&
         !has_class(first_character(text.substr(end)), kWord);
}

}  // namespace ingot
