#include "weights/exported_config.h"

#include <nlohmann/json.hpp>

#include "engine/base/json.h"
#include "engine/base/json_text.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

// Keys whose meaning to_hf_json() writes in its own spelling, and those of how weights were stored.
constexpr const char* kRewritten[] = {"torch_dtype",
                                      "dtype",
                                      "rope_theta",
                                      "rope_scaling",
                                      "rope_parameters",
                                      "rope_interleave",
                                      "original_max_position_embeddings",
                                      "quantization_config",
                                      "compression_config",
                                      "num_mtp_layers",
                                      "num_local_experts",
                                      "num_experts"};

}  // namespace

std::string exported_config(const ModelConfig& model, const std::string& original,
                            const std::string& where) {
  Json config = Json::object();
  if (!original.empty()) {
    config = parse_json(original, where, ErrorCode::data, {.python_numbers = true});
  }
  if (!config.is_object()) config = Json::object();
  for (const char* key : kRewritten) config.erase(key);
  // A list with a place for each layer contradicts a model whose layers were changed.
  const auto types = config.find("layer_types");
  if (types != config.end() && types->size() != static_cast<std::size_t>(model.num_hidden_layers)) {
    config.erase(types);
  }
  const Json cache = config.value("use_cache", Json(true));
  config.update(to_hf_json(model));
  config["use_cache"] = cache;
  return dump_json(config, 2) + "\n";
}

}  // namespace ingot
