// "added_tokens" of a tokenizer.json.
#include <algorithm>
#include <optional>

#include "data/tokenizer/tokenizer_json_parts.h"

namespace ingot {
namespace {

// As it stands in the file: read field by field, for there may be as many as in the vocabulary.
AddedToken added_token(JsonReader& reader, std::size_t number) {
  AddedToken token;
  bool has_id = false, has_content = false;
  std::optional<bool> normalized;
  const auto fail = [&](const std::string& what) {
    reader.fail("added_tokens[" + std::to_string(number) + "]: " + what,
                "check the file against its origin");
  };
  const auto flag = [&](const std::string& key) {
    const char c = reader.peek();
    if (c != 't' && c != 'f' && c != 'n') fail("\"" + key + "\" is not true or false");
    if (c != 'n') return reader.boolean();
    reader.null();
    return false;
  };
  if (reader.peek() != '{') fail("not an object");
  std::string key;
  reader.begin_object();
  while (reader.next_key(key)) {
    if (key == "id") {
      if (reader.peek() < '0' || reader.peek() > '9') fail("\"id\" is not a natural number");
      token.id = reader.unsigned_integer();
      has_id = true;
    } else if (key == "content") {
      if (reader.peek() != '"') fail("\"content\" is not a string");
      reader.string(token.content);
      has_content = true;
    } else if (key == "special") {
      token.special = flag(key);
    } else if (key == "single_word") {
      token.single_word = flag(key);
    } else if (key == "lstrip") {
      token.lstrip = flag(key);
    } else if (key == "rstrip") {
      token.rstrip = flag(key);
    } else if (key == "normalized" && reader.peek() != 'n') {
      normalized = flag(key);
    } else {
      reader.skip();
    }
  }
  token.normalized = normalized.value_or(!token.special);
  if (!has_id) fail("\"id\" is missing");
  if (!has_content) fail("\"content\" is missing");
  if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
    fail("\"content\" is empty or long");
  if (token.id > kMaxTokenId) fail("id " + std::to_string(token.id) + " is above 4194303");
  return token;
}

}  // namespace

std::vector<AddedToken> take_added_tokens(JsonReader& reader) {
  std::vector<AddedToken> tokens;
  if (reader.peek() == 'n') {
    reader.null();
    return tokens;
  }
  if (reader.peek() != '[') reader.fail("\"added_tokens\" is not a list");
  reader.begin_array();
  while (reader.next_element()) tokens.push_back(added_token(reader, tokens.size()));
  return tokens;
}

void settle_added_tokens(std::vector<AddedToken> tokens,
                         const std::unordered_map<std::string_view, std::uint32_t>& vocabulary,
                         const std::string& where, TokenizerSpec& spec) {
  const auto fail = [&where](const std::string& what) {
    throw Error(ErrorCode::data, "added_tokens: " + what, where,
                "check the file against its origin");
  };
  const auto content_in_vocabulary = [&spec](std::uint32_t id) -> const std::string* {
    const auto at = std::ranges::lower_bound(spec.vocabulary, id, {},
                                             [](const auto& entry) { return entry.second; });
    return at != spec.vocabulary.end() && at->second == id ? &at->first : nullptr;
  };
  // Views of `tokens`, which stay until all have been looked at.
  std::unordered_map<std::string_view, std::uint32_t> ids;
  std::unordered_map<std::uint32_t, std::string_view> contents;
  ids.reserve(tokens.size()), contents.reserve(tokens.size());
  std::vector<bool> is_first(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const AddedToken& token = tokens[i];
    const auto known = vocabulary.find(token.content);
    const std::string* const other = content_in_vocabulary(token.id);
    if ((known != vocabulary.end() && known->second != token.id) ||
        (other != nullptr && *other != token.content) ||
        contents.emplace(token.id, token.content).first->second != token.content) {
      fail("'" + token.content + "' has id " + std::to_string(token.id) +
           ", the vocabulary says otherwise");
    }
    const auto [same_content, is_new] = ids.emplace(token.content, token.id);
    if (same_content->second != token.id) fail("'" + token.content + "' has two ids");
    is_first[i] = is_new;
  }
  spec.added_tokens.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (is_first[i]) spec.added_tokens.push_back(std::move(tokens[i]));
  }
}

}  // namespace ingot
