// Parts of reading a tokenizer.json. Internal to tokenizer_json.cc.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "data/tokenizer/tokenizer_spec.h"
#include "engine/base/error.h"
#include "engine/base/json_reader.h"

namespace ingot {

using Json = nlohmann::json;

// A part of the file that is small enough for a DOM, with its name for messages.
class Section {
 public:
  Section(Json json, std::string name, const std::string& where)
      : json_(std::move(json)), name_(std::move(name)), where_(where) {}

  [[noreturn]] void fail(const std::string& what,
                         const std::string& mend = "check the file against its origin") const {
    throw Error(ErrorCode::data, name_ + ": " + what, where_, mend);
  }
  [[noreturn]] void unsupported(const std::string& what) const {
    fail(what + " is not supported",
         "use the tokenizer of a GPT-2, Llama-3, Qwen or DeepSeek model (byte-level BPE)");
  }

  const Json& json() const { return json_; }
  bool is_null() const { return json_.is_null(); }

  std::string string(const char* key) const {
    return field(key, &Json::is_string, "a string").get<std::string>();
  }
  bool boolean(const char* key) const {
    return field(key, &Json::is_boolean, "true or false").get<bool>();
  }
  bool boolean(const char* key, bool fallback) const { return has(key) ? boolean(key) : fallback; }
  std::uint32_t natural(const char* key) const {
    const Json& value = field(key, &Json::is_number_unsigned, "a natural number");
    if (value.get<std::uint64_t>() > 0xFFFFFFFFu) fail(std::string("\"") + key + "\" is too large");
    return value.get<std::uint32_t>();
  }
  bool has(const char* key) const {
    return json_.is_object() && json_.contains(key) && !json_.at(key).is_null();
  }
  std::vector<Section> list(const char* key) const {
    std::vector<Section> sections;
    for (const Json& item : field(key, &Json::is_array, "a list")) {
      sections.emplace_back(item, name_ + "[" + std::to_string(sections.size()) + "]", where_);
    }
    return sections;
  }
  const Json& array(const char* key) const { return field(key, &Json::is_array, "a list"); }
  Section part(const char* key) const {
    return {field(key, &Json::is_object, "an object"), name_ + "." + key, where_};
  }

 private:
  const Json& field(const char* key, bool (Json::*is)() const noexcept, const char* kind) const {
    if (!json_.is_object()) fail("not an object");
    const auto at = json_.find(key);
    if (at == json_.end()) fail(std::string("\"") + key + "\" is missing");
    if (!((*at).*is)()) fail(std::string("\"") + key + "\" is not " + kind);
    return *at;
  }

  Json json_;
  std::string name_;
  const std::string& where_;
};

std::vector<AddedToken> take_added_tokens(JsonReader& reader);

// Drops repeated ones, and refuses those that disagree with each other or with the vocabulary.
// vocabulary: the ids of spec.vocabulary.
void settle_added_tokens(std::vector<AddedToken> tokens,
                         const std::unordered_map<std::string_view, std::uint32_t>& vocabulary,
                         const std::string& where, TokenizerSpec& spec);

// Sets begin_ids and end_ids.
void read_post_processor(const Section& section, TokenizerSpec& spec);

}  // namespace ingot
