// The table of model fields, and the reader it drives. Internal to the config files.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/config_codec.h"
#include "engine/base/json.h"
#include "engine/base/mistakes.h"
#include "engine/model/model_config.h"

namespace ingot {

constexpr int kFamilies = 5;  // in the order of ModelFamily

// A ModelConfig while it is being read: what config.json may leave null.
struct ModelDraft {
  ModelConfig config;  // mla and moe always set
  std::optional<std::int64_t> num_key_value_heads, head_dim;
  std::optional<std::int64_t> n_routed_experts, n_shared_experts, num_experts_per_tok;
  std::optional<std::int64_t> n_group, topk_group;
  bool attention_bias = false;
};

struct ModelField {
  FieldOf<ModelDraft> field;
  // The default in each family as JSON text, "required", or "" where the family has no such field.
  std::array<std::string_view, kFamilies> defaults;
};

const std::vector<ModelField>& model_fields();

// Where the value of a JSON pointer stands.
struct Place {
  std::string where;  // run.json:7
  int line = 0;
  bool ours = false;  // written for ingot: unknown keys that look misspelled are mistakes
};
using Locate = std::function<Place(const std::string& pointer)>;

// Collects mistakes at places of one model.
class ModelComplaints {
 public:
  ModelComplaints(const Locate& locate, std::vector<Mistake>& mistakes)
      : locate_(locate), mistakes_(mistakes), before_(mistakes.size()) {}

  void add(const std::string& pointer, std::string what, std::string mend);
  // "key" is value: mend
  void wrong(const std::string& pointer, const std::string& key, const Json& value,
             std::string mend);
  void wrong(const std::string& key, const Json& value, std::string mend) {
    wrong(pointer_step(key), key, value, std::move(mend));
  }
  bool none() const { return mistakes_.size() == before_; }

 private:
  const Locate& locate_;
  std::vector<Mistake>& mistakes_;
  const std::size_t before_;  // mistakes found elsewhere
};

// Sets model.rope; family and max_position_embeddings are read before.
void read_rope(const Json& json, ModelConfig& model, ModelComplaints& complaints);

// Keys given twice.
void add_duplicates(const JsonLines& lines, const Locate& locate, std::vector<Mistake>& mistakes);

// Reads `json`, and adds what is wrong to `mistakes`; nothing is returned if something was.
std::optional<ModelConfig> read_model_config(const Json& json, const Locate& locate,
                                             std::vector<Mistake>& mistakes);

}  // namespace ingot
