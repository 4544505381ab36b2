#include "tests/appendix_a_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "planning/planner.h"
#include "weights/weight_copy.h"

namespace ingot::appendix_a {

using nlohmann::json;

namespace {

json yarn(double mscale) {
  return {{"type", "yarn"},          {"factor", 40},   {"original_max_position_embeddings", 4096},
          {"beta_fast", 32},         {"beta_slow", 1}, {"mscale", mscale},
          {"mscale_all_dim", mscale}};
}

RunConfig run_config(const json& model) {
  const json config = {
      {"model", model},
      {"data", {{"train", {"none.bin"}}, {"sequence_length", kSequence}}},
      {"batch", {{"tokens_per_step", kBatch * kSequence}, {"micro_batch", kBatch}}},
      {"optimizer",
       {{"betas", {0.9, 0.95}}, {"epsilon", 1e-8}, {"weight_decay", 0.1}, {"clip_norm", 1.0}}},
      {"precision", {{"compute", "fp32"}}},
      {"loss", {{"balance_weight", 0.01}, {"balance_type", "sequence"}}}};
  return parse_run_config(config.dump(), "run.json", ".");
}

}  // namespace

std::uint64_t splitmix64(std::uint64_t x) {
  std::uint64_t z = x + 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::uint64_t fnv1a(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

float fill_value(const std::string& name, std::uint64_t index) {
  const double u = static_cast<double>(splitmix64(fnv1a(name) + index) >> 40) / (1 << 24) - 0.5;
  if (name.find("e_score_correction_bias") != name.npos) return static_cast<float>(0.2 * u);
  if (name.find("norm") != name.npos && name.ends_with("weight")) {
    return static_cast<float>(1 + 0.4 * u);
  }
  return static_cast<float>((name.ends_with(".bias") ? 0.2 : 0.4) * u);
}

void fill_weights(Executor& executor) {
  for (const Weight& weight : executor.program().weights()) {
    for (const WeightPart& part : weight.parts) {
      std::vector<float> values(part.shape.elements());
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = fill_value(part.name, i);
      write_weight_part(executor, weight, &Weight::value, part, values);
    }
  }
}

Data::Data() {
  for (std::int64_t i = 0; i < kBatch * kSequence; ++i) {
    const auto token = [](std::int64_t place) {
      return static_cast<std::int32_t>((37 * place + 11) % 256);
    };
    tokens.push_back(token(i));
    targets.push_back(i % kSequence + 1 < kSequence ? token(i + 1) : -1);
  }
}

json model_json(const std::string& id) {
  json model = {
      {"vocab_size", kVocabulary}, {"hidden_size", 64},        {"intermediate_size", 128},
      {"num_attention_heads", 4},  {"rms_norm_eps", 1e-6},     {"rope_theta", 10000},
      {"hidden_act", "silu"},      {"attention_bias", false},  {"max_position_embeddings", 64},
      {"num_hidden_layers", 2},    {"num_key_value_heads", 2}, {"tie_word_embeddings", false}};
  if (id == "llama") {
    model.update({{"model_type", "llama"},
                  {"rope_scaling",
                   {{"rope_type", "llama3"},
                    {"factor", 8},
                    {"low_freq_factor", 1},
                    {"high_freq_factor", 4},
                    {"original_max_position_embeddings", 32}}}});
    return model;
  }
  if (id == "qwen2") {
    model.erase("attention_bias");
    model.update({{"model_type", "qwen2"}, {"tie_word_embeddings", true}});
    return model;
  }
  if (id == "qwen3") {
    model.update({{"model_type", "qwen3"}, {"head_dim", 32}});
    return model;
  }
  model.update({{"model_type", "deepseek_v2"},
                {"num_hidden_layers", 3},
                {"num_key_value_heads", 4},
                {"moe_intermediate_size", 32},
                {"n_routed_experts", 8},
                {"num_experts_per_tok", 2},
                {"first_k_dense_replace", 1},
                {"kv_lora_rank", 16},
                {"q_lora_rank", 24},
                {"qk_nope_head_dim", 8},
                {"qk_rope_head_dim", 8},
                {"v_head_dim", 8},
                {"n_shared_experts", 2},
                {"scoring_func", "softmax"},
                {"norm_topk_prob", false},
                {"topk_method", "greedy"},
                {"routed_scaling_factor", 1.0}});
  if (id == "v2lite") {
    model["q_lora_rank"] = nullptr;
  } else if (id == "v2group") {
    model.update({{"topk_method", "group_limited_greedy"},
                  {"n_group", 4},
                  {"topk_group", 2},
                  {"routed_scaling_factor", 16.0},
                  {"rope_scaling", yarn(0.707)}});
  } else {
    model.update({{"model_type", "deepseek_v3"},
                  {"n_shared_experts", 1},
                  {"scoring_func", "sigmoid"},
                  {"norm_topk_prob", true},
                  {"topk_method", "noaux_tc"},
                  {"n_group", 4},
                  {"topk_group", 2},
                  {"routed_scaling_factor", 2.5}});
    if (id == "v3yarn") model["rope_scaling"] = yarn(1.0);
    model["num_nextn_predict_layers"] = id == "v3+mtp" ? 1 : 0;
  }
  return model;
}

Reference::Reference(const json& model) : backend_(tiny_backend(2)), config_(run_config(model)) {
  engine_ = std::make_unique<TrainingEngine>(plan_training(config_, backend_), backend_, config_);
  fill_weights(engine_->executor());
}

TrainingEngine::MicroStepLosses Reference::micro_step() {
  engine_->begin_step(1);
  engine_->set_slot(step_slot::kLossFactor, 1.0 / (kBatch * (kSequence - 1)));
  engine_->set_slot(mtp_factor_slot(1),
                    engine_->settings().mtp_weight / (kBatch * (kSequence - 2)));
  engine_->micro_step(data_.tokens, data_.targets);
  return engine_->losses();
}

std::vector<float> Reference::gradient(const std::string& name) const {
  for (const Weight& weight : engine_->executor().program().weights()) {
    for (const WeightPart& part : weight.parts) {
      if (part.name != name) continue;
      std::vector<float> values(part.shape.elements());
      read_weight_part(engine_->executor(), weight.gradient, part, values);
      return values;
    }
  }
  ADD_FAILURE() << "no tensor " << name;
  return {};
}

double Reference::gradient_norm(const std::string& name) const {
  double squares = 0;
  bool found = false;
  for (const Weight& weight : engine_->executor().program().weights()) {
    if (!weight.gradient) continue;
    for (const WeightPart& part : weight.parts) {
      if (!name.empty() && part.name != name) continue;
      std::vector<float> values(part.shape.elements());
      read_weight_part(engine_->executor(), weight.gradient, part, values);
      for (const float value : values) squares += static_cast<double>(value) * value;
      found = true;
    }
  }
  EXPECT_TRUE(found) << name;
  return std::sqrt(squares);
}

std::vector<double> Reference::balances() const {
  std::vector<double> values;
  for (const RouterOutputs& router : engine_->compiled().losses.routers) {
    values.push_back(engine_->executor().read_scalar(router.balance_loss));
  }
  return values;
}

std::vector<std::vector<std::int32_t>> Reference::loads() const {
  std::vector<std::vector<std::int32_t>> all;
  for (const RouterOutputs& router : engine_->compiled().losses.routers) {
    std::vector<std::int32_t> load(8);
    engine_->executor().read(router.load, std::as_writable_bytes(std::span(load)));
    all.push_back(load);
  }
  return all;
}
}  // namespace ingot::appendix_a
