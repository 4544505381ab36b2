#include "tests/random_model.h"

#include <iterator>
#include <nlohmann/json.hpp>

#include "tests/tiny_run.h"

namespace ingot {

std::string random_model(Dice& dice) {
  const std::string family = kFamilies[dice.below(std::size(kFamilies))];
  nlohmann::json model = nlohmann::json::parse(tiny_model(family));
  model["num_hidden_layers"] = 1 + dice.below(4);
  model["hidden_size"] = 16 * (1 + dice.below(4));
  model["intermediate_size"] = 8 * (1 + dice.below(9));
  model["tie_word_embeddings"] = dice.below(2) == 1;
  if (family.starts_with("deepseek")) {
    model["first_k_dense_replace"] = dice.below(3);
    model["moe_intermediate_size"] = 8 * (1 + dice.below(4));
    model["num_experts_per_tok"] = 1 + dice.below(3);
    model["n_shared_experts"] = dice.below(3);
    model["kv_lora_rank"] = 8 * (1 + dice.below(3));
    model["v_head_dim"] = 4 * (1 + dice.below(4));
  }
  if (family == "deepseek_v3") model["num_nextn_predict_layers"] = dice.below(3);
  return model.dump();
}

}  // namespace ingot
