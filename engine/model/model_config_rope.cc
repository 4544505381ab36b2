// The RoPE fields of config.json, in the old and the new spelling.
#include <algorithm>

#include "engine/model/model_config_fields.h"

namespace ingot {
namespace {

const std::vector<std::pair<std::string, RopeType>> kRopeTypes = {{"default", RopeType::plain},
                                                                  {"linear", RopeType::linear},
                                                                  {"llama3", RopeType::llama3},
                                                                  {"yarn", RopeType::yarn}};

struct RopeField {
  FieldOf<RopeConfig> field;
  bool required;
};

std::vector<RopeField> rope_fields(RopeType type, bool latent_attention) {
  if (type == RopeType::plain) return {};
  const auto positive = [](const char* key, double RopeConfig::*member) {
    return field(key, member, number(above(0)), "");
  };
  const auto scale = [](const char* key, double RopeConfig::*member) {
    return RopeField{field(key, member, number(range(0, 1e6)), ""), false};
  };
  std::vector<RopeField> fields = {
      {field("factor", &RopeConfig::factor, number(range(1, 1e6)), ""), true}};
  // YaRN's; but transformers' latent attention scales its scores by it whatever the type.
  if (latent_attention || type == RopeType::yarn) {
    fields.push_back(scale("mscale_all_dim", &RopeConfig::mscale_all_dim));
  }
  if (type == RopeType::linear) return fields;
  fields.push_back(
      {field("original_max_position_embeddings", &RopeConfig::original_max_position_embeddings,
             integer(1, std::int64_t{1} << 31), ""),
       false});
  if (type == RopeType::llama3) {
    fields.push_back({positive("low_freq_factor", &RopeConfig::low_freq_factor), true});
    fields.push_back({positive("high_freq_factor", &RopeConfig::high_freq_factor), true});
    return fields;
  }
  fields.push_back({positive("beta_fast", &RopeConfig::beta_fast), false});
  fields.push_back({positive("beta_slow", &RopeConfig::beta_slow), false});
  fields.push_back(scale("mscale", &RopeConfig::mscale));
  fields.push_back({field("attention_factor", &RopeConfig::attention_factor,
                          optional_of(number(range(0, 1e6)), Json(nullptr)), ""),
                    false});
  fields.push_back({field("truncate", &RopeConfig::truncate, flag(), ""), false});
  return fields;
}

class RopeReader {
 public:
  RopeReader(const Json& json, ModelConfig& model, ModelComplaints& complaints)
      : json_(json), model_(model), complaints_(complaints) {}

  // rope_theta and rope_scaling {type or rope_type, ...}, or all of it in rope_parameters.
  void read() {
    const bool is_deepseek = model_.family >= ModelFamily::deepseek_v2;
    const bool is_v3 = model_.family == ModelFamily::deepseek_v3;
    RopeConfig& rope = model_.rope;
    rope.interleaved = is_deepseek;
    if (const Json* const given = find("rope_interleave"); given && is_v3 && !given->is_null()) {
      if (given->is_boolean()) {
        rope.interleaved = given->get<bool>();
      } else {
        complaints_.wrong("rope_interleave", *given, "true or false");
      }
    }
    read_theta(find("rope_theta"), "/rope_theta");
    if (const Json* const part = find("partial_rotary_factor"); part && !part->is_null()) {
      if (*part != 1) complaints_.wrong("partial_rotary_factor", *part, "only 1 is supported");
    }

    std::string name = "rope_scaling";
    const Json* scaling = find(name);
    // transformers takes an empty rope_scaling for none.
    if (!scaling || scaling->is_null() || *scaling == Json::object()) {
      scaling = find(name = "rope_parameters");
    }
    if (!scaling || scaling->is_null()) return;
    std::string pointer = "/" + name;
    if (scaling->is_object() && scaling->contains("full_attention")) {  // one for each layer type
      scaling = &scaling->at("full_attention");
      pointer += "/full_attention";
    }
    if (!scaling->is_object()) {
      complaints_.wrong(pointer, name, *scaling, "an object or null");
      return;
    }
    read_scaling(*scaling, pointer);
  }

 private:
  void read_theta(const Json* theta, const std::string& pointer) {
    if (!theta || theta->is_null()) return;
    const Codec<double> codec = number({1, 1e12, true});
    if (std::string expected = codec.read(*theta, {}, model_.rope.rope_theta); !expected.empty())
      complaints_.wrong(pointer, "rope_theta", *theta, std::move(expected));
  }

  void read_scaling(const Json& scaling, const std::string& pointer) {
    RopeConfig& rope = model_.rope;
    const auto value = [&](const std::string& key) -> const Json* {
      const auto found = scaling.find(key);
      return found == scaling.end() || found->is_null() ? nullptr : &*found;
    };
    read_theta(value("rope_theta"), pointer + "/rope_theta");
    if (const Json* const part = value("partial_rotary_factor"); part && *part != 1) {
      complaints_.wrong(pointer, "partial_rotary_factor", *part, "only 1 is supported");
    }

    const std::string key = value("rope_type") ? "rope_type" : "type";
    if (const Json* const type = value(key)) {
      std::vector<std::string> names;
      for (const auto& [name, known] : kRopeTypes) names.push_back(name);
      const auto known = std::find_if(kRopeTypes.begin(), kRopeTypes.end(),
                                      [&](const auto& each) { return *type == each.first; });
      if (known == kRopeTypes.end()) {
        complaints_.wrong(pointer + "/" + key, key, *type, not_one_of("", names));
        return;
      }
      rope.rope_type = known->second;
    }

    rope.original_max_position_embeddings = model_.max_position_embeddings;
    const bool latent_attention = model_.family >= ModelFamily::deepseek_v2;
    for (const auto& [each, required] : rope_fields(rope.rope_type, latent_attention)) {
      const Json* given = value(each.key);
      std::string below = pointer + "/" + each.key;
      if (each.key == "original_max_position_embeddings") {
        // Some files give it beside the RoPE fields; transformers prefers that.
        if (const Json* const outside = find(each.key); outside && !outside->is_null()) {
          given = outside;
          below = "/" + each.key;
        }
      }
      if (!given) {
        if (required)
          complaints_.add(pointer, "\"" + each.key + "\" is missing in the RoPE fields", "");
      } else if (std::string expected = each.read(*given, {}, rope); !expected.empty()) {
        complaints_.wrong(below, each.key, *given, std::move(expected));
      }
    }
    if (rope.rope_type == RopeType::plain || rope.rope_type == RopeType::linear) {
      rope.original_max_position_embeddings = 0;
    }
    if (rope.rope_type == RopeType::llama3 && rope.high_freq_factor <= rope.low_freq_factor) {
      complaints_.wrong(pointer, "high_freq_factor", rope.high_freq_factor,
                        "larger than \"low_freq_factor\"");
    }
    if (rope.rope_type == RopeType::yarn && rope.beta_fast < rope.beta_slow) {
      complaints_.wrong(pointer, "beta_fast", rope.beta_fast, "not smaller than \"beta_slow\"");
    }
  }

  const Json* find(const std::string& key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  const Json& json_;
  ModelConfig& model_;
  ModelComplaints& complaints_;
};

}  // namespace

void read_rope(const Json& json, ModelConfig& model, ModelComplaints& complaints) {
  RopeReader(json, model, complaints).read();
}

}  // namespace ingot
