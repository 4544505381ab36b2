// What tokenizer_config.json and special_tokens_map.json add to a tokenizer.json: which tokens
// begin, end and fill up.
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "data/tokenizer/tokenizer_spec.h"
#include "engine/base/error.h"
#include "engine/base/json.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// null where there is no such file.
Json read_object(const CompanionFiles& files, const std::string& name, const std::string& where) {
  const auto file = files.find(name);
  if (file == files.end()) return nullptr;
  const std::string place = (std::filesystem::path(where).parent_path() / name).string();
  Json json = parse_json(file->second, place, ErrorCode::data, {.python_numbers = true});
  if (!json.is_object()) {
    throw Error(ErrorCode::data, "is not a JSON object", place,
                "check the file against its origin");
  }
  return json;
}

// A token is its text, or an object with it.
std::string token_at(const Json& json, const char* key) {
  if (!json.is_object()) return "";
  Json token = json.value(key, Json());
  if (token.is_object()) token = token.value("content", Json());
  return token.is_string() ? token.get<std::string>() : "";
}

}  // namespace

void read_tokenizer_config(const CompanionFiles& files, const std::string& where,
                           TokenizerSpec& spec) {
  const Json config = read_object(files, "tokenizer_config.json", where);
  const Json map = read_object(files, "special_tokens_map.json", where);
  std::unordered_map<std::string_view, std::uint32_t> ids;
  if (config.is_object() || map.is_object()) {
    for (const auto& [content, id] : spec.vocabulary) ids.emplace(content, id);
    for (const AddedToken& token : spec.added_tokens) ids.insert_or_assign(token.content, token.id);
  }
  const auto id_of = [&](const char* key) -> std::optional<std::uint32_t> {
    const std::string in_config = token_at(config, key);
    const auto id = ids.find(in_config.empty() ? token_at(map, key) : in_config);
    if (id == ids.end()) return std::nullopt;
    return id->second;
  };
  spec.bos_id = id_of("bos_token");
  spec.eos_id = id_of("eos_token");
  spec.pad_id = id_of("pad_token");
  // The post-processor of tokenizer.json counts where it puts anything; some files leave that to
  // this flag (DeepSeek's).
  const bool puts_nothing = spec.begin_ids.empty() && spec.end_ids.empty();
  const bool wants_bos = config.is_object() && config.value("add_bos_token", Json()) == true;
  if (puts_nothing && wants_bos && spec.bos_id) spec.begin_ids = {*spec.bos_id};
}

}  // namespace ingot
