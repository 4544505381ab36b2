#include "inference/stop_tokens.h"

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "engine/base/json.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// A token's id, a list of them, or null.
std::vector<std::int64_t> ids_of(const Json& value, const std::string& where) {
  const Json list = value.is_null()    ? Json::array()
                    : value.is_array() ? value
                                       : Json::array({value});
  std::vector<std::int64_t> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer()) {
      throw Error(ErrorCode::data, "\"eos_token_id\" is not a token's id or a list of them", where,
                  "check the file against its origin");
    }
    ids.push_back(id.get<std::int64_t>());
  }
  return ids;
}

}  // namespace

std::vector<std::int64_t> stop_tokens(const CompanionFiles& files, const ModelConfig& model,
                                      const Tokenizer& tokenizer,
                                      const std::filesystem::path& folder) {
  constexpr const char* kFile = "generation_config.json";
  if (const auto file = files.find(kFile); file != files.end()) {
    const std::string where = (folder / kFile).string();
    const Json config = parse_json(file->second, where, ErrorCode::data, {.python_numbers = true});
    if (!config.is_object()) {
      throw Error(ErrorCode::data, "is not a JSON object", where,
                  "check the file against its origin");
    }
    if (auto ids = ids_of(config.value("eos_token_id", Json()), where); !ids.empty()) return ids;
  }
  if (!model.eos_token_ids.empty()) return model.eos_token_ids;
  if (const auto id = tokenizer.eos_id()) return {*id};
  if (const auto id = tokenizer.token_id("<|endoftext|>")) return {*id};
  return {};
}

}  // namespace ingot
