// tokenizer.json -> TokenizerSpec.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "data/tokenizer/tokenizer_json_parts.h"
#include "data/tokenizer/tokenizer_spec.h"
#include "engine/base/error.h"
#include "engine/base/json.h"

namespace ingot {
namespace {

// null when the file has no such section.
Section section_of(std::optional<JsonReader>& text, const std::string& name,
                   const std::string& where) {
  return {text ? read_json(*text) : Json(), name, where};
}

void read_normalizer(const Section& section, TokenizerSpec& spec) {
  if (section.is_null()) return;
  const std::string type = section.string("type");
  if (type == "Sequence") {
    for (const Section& part : section.list("normalizers")) read_normalizer(part, spec);
  } else if (type == "NFC") {
    spec.normalization = Normalization::nfc;
  } else {
    section.unsupported("\"" + type + "\"");
  }
}

SplitBehavior behavior(const Section& section) {
  const std::string wanted = section.string("behavior");
  const auto name = std::find(kSplitBehaviorNames.begin(), kSplitBehaviorNames.end(), wanted);
  if (name != kSplitBehaviorNames.end())
    return static_cast<SplitBehavior>(name - kSplitBehaviorNames.begin());
  section.unsupported("behavior \"" + wanted + "\"");
}

SplitStep split_step(const Section& section) {
  SplitStep step{.behavior = behavior(section), .invert = section.boolean("invert", false)};
  const Section pattern = section.part("pattern");
  const bool literal = pattern.has("String");
  step.kind = literal ? SplitStep::Kind::literal : SplitStep::Kind::regex;
  step.pattern = pattern.string(literal ? "String" : "Regex");
  if (step.pattern.empty()) pattern.fail("empty");
  return step;
}

void read_pre_tokenizer(const Section& section, std::vector<SplitStep>& steps) {
  if (section.is_null()) section.unsupported("null, as of a tokenizer that is not byte-level,");
  const std::string type = section.string("type");
  if (type == "Sequence") {
    for (const Section& part : section.list("pretokenizers")) read_pre_tokenizer(part, steps);
    return;
  }
  if (!steps.empty() && steps.back().kind == SplitStep::Kind::byte_level)
    section.unsupported("a step after ByteLevel");
  if (type == "Split") {
    steps.push_back(split_step(section));
  } else if (type == "Digits") {
    const bool each = section.boolean("individual_digits");
    steps.push_back({.kind = SplitStep::Kind::number,
                     .behavior = each ? SplitBehavior::isolated : SplitBehavior::contiguous});
  } else if (type == "Punctuation") {
    steps.push_back(
        {.kind = SplitStep::Kind::punctuation,
         .behavior = section.has("behavior") ? behavior(section) : SplitBehavior::isolated});
  } else if (type == "WhitespaceSplit") {
    steps.push_back({.kind = SplitStep::Kind::white_space, .behavior = SplitBehavior::removed});
  } else if (type == "Whitespace") {
    steps.push_back(
        {.kind = SplitStep::Kind::words, .behavior = SplitBehavior::removed, .invert = true});
  } else if (type == "ByteLevel") {
    steps.push_back({.kind = SplitStep::Kind::byte_level,
                     .add_prefix_space = section.boolean("add_prefix_space", true),
                     .use_regex = section.boolean("use_regex", true)});
  } else {
    section.unsupported("\"" + type + "\"");
  }
}

void check_decoder(const Section& section) {
  if (section.is_null()) return;
  const std::string type = section.string("type");
  if (type == "Sequence") {
    for (const Section& part : section.list("decoders")) check_decoder(part);
  } else if (type != "ByteLevel") {
    section.unsupported("\"" + type + "\"");
  }
}

// The model object with its two long lists left as text.
struct ModelText {
  std::optional<JsonReader> vocabulary, merges;
  Json others = Json::object();
};

ModelText take_model_apart(JsonReader& reader) {
  ModelText model;
  std::string key;
  reader.begin_object();
  while (reader.next_key(key)) {
    if (key == "vocab") {
      model.vocabulary = reader.value();
    } else if (key == "merges") {
      model.merges = reader.value();
    } else {
      model.others[key] = read_json(reader);
    }
  }
  return model;
}

class ModelReader {
 public:
  ModelReader(ModelText text, const std::string& where, TokenizerSpec& spec)
      : text_(std::move(text)), options_(std::move(text_.others), "model", where), spec_(spec) {}

  void read() {
    refuse_other_models();
    if (!text_.vocabulary) options_.fail("\"vocab\" is missing");
    if (!text_.merges) options_.fail("\"merges\" is missing");
    read_vocabulary();
    read_merges();
    spec_.options.ignore_merges = options_.boolean("ignore_merges", false);
    spec_.options.fuse_unknown = options_.boolean("fuse_unk", false);
    if (options_.has("unk_token")) {
      if (const auto id = ids_.find(options_.string("unk_token")); id != ids_.end()) {
        spec_.options.unknown_id = id->second;
      }
    }
  }

  const std::unordered_map<std::string_view, std::uint32_t>& ids() const { return ids_; }

 private:
  void refuse_other_models() const {
    if (options_.has("type") && options_.string("type") != "BPE") {
      options_.unsupported("type \"" + options_.string("type") + "\"");
    }
    if (options_.boolean("byte_fallback", false)) options_.unsupported("\"byte_fallback\"");
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (options_.has(key) && !options_.string(key).empty())
        options_.unsupported(std::string("\"") + key + "\"");
    }
    if (options_.has("dropout") && options_.json().at("dropout") != 0)
      options_.unsupported("\"dropout\"");
  }

  void read_vocabulary() {
    JsonReader& reader = *text_.vocabulary;
    std::string token;
    reader.begin_object();
    while (reader.next_key(token)) {
      const std::uint32_t id = reader.unsigned_integer();
      if (id > kMaxTokenId)
        options_.fail("the id of '" + token + "' is " + std::to_string(id) + ", above 4194303");
      spec_.vocabulary.emplace_back(std::move(token), id);
    }
    auto& vocabulary = spec_.vocabulary;
    std::sort(vocabulary.begin(), vocabulary.end(),
              [](const auto& a, const auto& b) { return a.second < b.second; });
    ids_.reserve(vocabulary.size());
    for (std::size_t i = 0; i < vocabulary.size(); ++i) {
      const auto& [content, id] = vocabulary[i];
      if (i > 0 && vocabulary[i - 1].second == id) {
        options_.fail("'" + vocabulary[i - 1].first + "' and '" + content + "' have the same id " +
                      std::to_string(id));
      }
      if (!ids_.emplace(content, id).second)
        options_.fail("the vocabulary has '" + content + "' twice");
    }
  }

  std::uint32_t id_of(const std::string& token) const {
    const auto id = ids_.find(token);
    if (id == ids_.end()) {
      options_.fail("merge " + std::to_string(spec_.merges.size()) + " needs '" + token +
                    "', which is not in the vocabulary");
    }
    return id->second;
  }

  void read_merges() {
    JsonReader& reader = *text_.merges;
    reader.begin_array();
    while (reader.next_element()) {
      std::string left, right;
      if (reader.peek() == '"') {
        left = reader.string();
        if (left.starts_with("#version")) continue;
        const std::size_t space = left.find(' ');
        if (space == std::string::npos || left.find(' ', space + 1) != std::string::npos) {
          options_.fail("merge '" + left + "' is not two tokens with a space between");
        }
        right = left.substr(space + 1);
        left.resize(space);
      } else {
        read_pair(reader, left, right);
      }
      const std::uint32_t left_id = id_of(left), right_id = id_of(right);
      spec_.merges.push_back({left_id, right_id, id_of(left + right)});
    }
  }

  void read_pair(JsonReader& reader, std::string& left, std::string& right) const {
    reader.begin_array();
    if (reader.next_element()) left = reader.string();
    if (reader.next_element()) right = reader.string();
    if (right.empty() || reader.next_element()) options_.fail("a merge is not a pair of tokens");
  }

  ModelText text_;
  Section options_;
  TokenizerSpec& spec_;
  std::unordered_map<std::string_view, std::uint32_t> ids_;  // views of spec_.vocabulary
};

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& where) {
  JsonReader reader(json, where);
  std::optional<JsonReader> model, normalizer, pre_tokenizer, post_processor, decoder;
  std::vector<AddedToken> added_tokens;
  std::string key;
  reader.begin_object();
  while (reader.next_key(key)) {
    if (key == "added_tokens") {
      added_tokens = take_added_tokens(reader);
      continue;
    }
    JsonReader value = reader.value();
    if (key == "model") model = value;
    if (key == "normalizer") normalizer = value;
    if (key == "post_processor") post_processor = value;
    if (key == "pre_tokenizer") pre_tokenizer = value;
    if (key == "decoder") decoder = value;
  }
  reader.end();
  if (!model) {
    throw Error(ErrorCode::data, "\"model\" is missing: not a tokenizer.json", where,
                "give the path of a tokenizer.json");
  }

  TokenizerSpec spec;
  ModelReader model_reader(take_model_apart(*model), where, spec);
  model_reader.read();
  settle_added_tokens(std::move(added_tokens), model_reader.ids(), where, spec);
  read_normalizer(section_of(normalizer, "normalizer", where), spec);
  read_pre_tokenizer(section_of(pre_tokenizer, "pre_tokenizer", where), spec.split_steps);
  read_post_processor(section_of(post_processor, "post_processor", where), spec);
  check_decoder(section_of(decoder, "decoder", where));
  return spec;
}

}  // namespace ingot
