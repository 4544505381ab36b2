#include "engine/config/given_keys.h"

#include <nlohmann/json.hpp>

#include "engine/base/json.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// An object's own, or those of the config.json at a path (or in the folder there).
void take_keys(const Json& model, const std::filesystem::path& folder, GivenKeys& keys) {
  if (model.is_string()) {
    std::filesystem::path file = folder / model.get<std::string>();
    if (std::filesystem::is_directory(file)) file /= "config.json";
    keys.clear();
    take_keys(read_json(file, ErrorCode::usage, {.python_numbers = true}), folder, keys);
  } else if (model.is_object()) {
    for (const auto& [key, value] : model.items()) keys.insert(key);
  }
}

}  // namespace

GivenKeys given_model_keys(const std::filesystem::path& path,
                           const std::vector<std::string>& overrides) {
  GivenKeys keys;
  const Json run = read_json(path, ErrorCode::usage);
  if (run.is_object()) take_keys(run.value("model", Json()), path.parent_path(), keys);
  constexpr std::string_view kModel = "model";
  for (const std::string_view each : overrides) {
    const std::string_view key = each.substr(0, each.find('='));
    if (key == kModel && key.size() < each.size()) {
      const Json value = Json::parse(each.substr(key.size() + 1), nullptr, false);
      take_keys(value.is_object() ? value : Json(each.substr(key.size() + 1)), "", keys);
    } else if (key.starts_with("model.")) {
      const std::string_view inner = key.substr(kModel.size() + 1);
      keys.emplace(inner.substr(0, inner.find('.')));
    }
  }
  return keys;
}

}  // namespace ingot
