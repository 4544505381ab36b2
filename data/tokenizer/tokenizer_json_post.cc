// "post_processor" of a tokenizer.json: what stands around a text.
#include <algorithm>

#include "data/tokenizer/tokenizer_json_parts.h"

namespace ingot {
namespace {

// {"special_tokens": {NAME: {"ids": [..]}}} -> the ids of a name.
std::vector<std::uint32_t> template_ids(const Section& section, const std::string& name) {
  std::vector<std::uint32_t> ids;
  const Section token = section.part("special_tokens").part(name.c_str());
  for (const Json& id : token.array("ids")) {
    if (!id.is_number_unsigned() || id > kMaxTokenId) section.fail("an id is not a natural number");
    ids.push_back(id.get<std::uint32_t>());
  }
  return ids;
}

// "single": [{"SpecialToken": {"id": NAME}}, {"Sequence": {"id": "A"}}, ...]
void read_template(const Section& section, TokenizerSpec& spec) {
  std::vector<std::uint32_t> before, behind;
  bool has_text = false;
  for (const Section& piece : section.list("single")) {
    if (piece.has("SpecialToken")) {
      const auto ids = template_ids(section, piece.part("SpecialToken").string("id"));
      auto& side = has_text ? behind : before;
      side.insert(side.end(), ids.begin(), ids.end());
    } else if (piece.has("Sequence") && !has_text) {
      has_text = true;
    } else {
      piece.unsupported("a template of this kind");
    }
  }
  if (!has_text) section.unsupported("a template without the text");
  spec.begin_ids.insert(spec.begin_ids.begin(), before.begin(), before.end());
  spec.end_ids.insert(spec.end_ids.end(), behind.begin(), behind.end());
}

// ["<s>", 0]
std::uint32_t token_of_pair(const Section& section, const char* key) {
  const Json& pair = section.array(key);
  if (pair.size() != 2 || !pair[1].is_number_unsigned() || pair[1] > kMaxTokenId)
    section.fail(std::string("\"") + key + "\" is not a token and its id");
  return pair[1].get<std::uint32_t>();
}

bool is_known(std::uint32_t id, const TokenizerSpec& spec) {
  const auto has_id = [id](const AddedToken& token) { return token.id == id; };
  return std::ranges::binary_search(spec.vocabulary, id, {},
                                    [](const auto& entry) { return entry.second; }) ||
         std::ranges::any_of(spec.added_tokens, has_id);
}

}  // namespace

void read_post_processor(const Section& section, TokenizerSpec& spec) {
  if (section.is_null()) return;
  const std::string type = section.string("type");
  if (type == "Sequence") {
    for (const Section& part : section.list("processors")) read_post_processor(part, spec);
  } else if (type == "TemplateProcessing") {
    read_template(section, spec);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    spec.begin_ids.insert(spec.begin_ids.begin(), token_of_pair(section, "cls"));
    spec.end_ids.push_back(token_of_pair(section, "sep"));
  } else if (type != "ByteLevel") {  // which moves offsets only
    section.unsupported("\"" + type + "\"");
  }
  for (const auto* ids : {&spec.begin_ids, &spec.end_ids}) {
    for (const std::uint32_t id : *ids) {
      if (!is_known(id, spec)) section.fail("there is no token of id " + std::to_string(id));
    }
  }
}

}  // namespace ingot
