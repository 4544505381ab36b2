// Settings that others keep from having an effect.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/config/config.h"

namespace ingot {
namespace {

using Json = nlohmann::json;

struct Condition {
  std::vector<const char*> keys;
  bool met;
  std::string otherwise;  // "with ..." or "without ..."
};

std::vector<Condition> conditions(const RunConfig& config) {
  const ScheduleType schedule = config.schedule.type;
  const bool falls = schedule == ScheduleType::linear || schedule == ScheduleType::cosine ||
                     schedule == ScheduleType::wsd;
  const bool has_experts = config.model.moe.has_value();
  const bool has_bias = has_experts && config.model.moe->has_selection_bias();
  return {
      {{"optimizer.muon_learning_rate"},
       config.optimizer.type == OptimizerType::muon,
       "without optimizer.type \"muon\""},
      {{"schedule.final_ratio"}, falls, "with this schedule.type"},
      {{"schedule.decay_fraction", "schedule.decay_steps", "schedule.decay_shape"},
       schedule == ScheduleType::wsd,
       "without schedule.type \"wsd\""},
      {{"schedule.decay_fraction"}, config.schedule.decay_steps == 0, "with schedule.decay_steps"},
      {{"schedule.milestones", "schedule.factors"},
       schedule == ScheduleType::multi_step,
       "without schedule.type \"multi_step\""},
      {{"precision.wgrad", "precision.head", "precision.int8_scales"},
       config.precision.compute == ComputeType::int8,
       "without precision.compute \"int8\""},
      {{"precision.loss_scale"},
       config.precision.compute == ComputeType::fp16,
       "without precision.compute \"fp16\""},
      {{"precision.gradient"},
       !config.optimizer.update_in_backward,
       "with optimizer.update_in_backward"},
      {{"memory.offload_directory"},
       config.memory.offload != OffloadPolicy::none,
       "with memory.offload \"none\""},
      {{"parallel.zero"}, config.parallel.data_ranks() > 1, "with one rank"},
      {{"data.validation_tokens", "data.validation_batches", "log.validate_every"},
       !config.data.validation.empty(),
       "without data.validation"},
      {{"data.validation", "data.validation_tokens", "data.validation_batches"},
       config.log.validate_every > 0,
       "with log.validate_every 0"},
      {{"log.sample_prompt", "log.sample_tokens"},
       config.log.sample_every > 0,
       "without log.sample_every"},
      {{"spike.window", "spike.limit"}, config.spike.z_score > 0, "without spike.z_score"},
      {{"loss.mtp_weight"}, config.model.num_nextn_predict_layers > 0, "without MTP modules"},
      {{"loss.balance_weight", "loss.balance_type"}, has_experts, "without experts"},
      {{"loss.balance_type"}, config.loss.balance_weight > 0, "with loss.balance_weight 0"},
      {{"loss.bias_update_rate", "loss.bias_update_until"},
       has_bias,
       "without a router that has a selection bias"},
      {{"loss.bias_update_until"},
       config.loss.bias_update_rate > 0,
       "with loss.bias_update_rate 0"},
  };
}

const Json& at(const Json& config, std::string_view key) {
  const std::size_t dot = key.find('.');
  return config.at(key.substr(0, dot)).at(key.substr(dot + 1));
}

// Who turns off what is not there is told nothing.
bool turns_off(std::string_view key, const Json& value) {
  constexpr std::string_view kSwitches[] = {"log.validate_every", "loss.mtp_weight",
                                            "loss.balance_weight", "loss.bias_update_rate"};
  return value == 0 && std::ranges::find(kSwitches, key) != std::end(kSwitches);
}

}  // namespace

std::vector<std::string> settings_without_effect(const RunConfig& config) {
  RunConfig by_default;
  by_default.model = config.model;
  const Json is = to_json(config), would_be = to_json(by_default);
  std::vector<std::string> lines;
  std::vector<std::string_view> said;
  for (const Condition& condition : conditions(config)) {
    if (condition.met) continue;
    for (const char* const key : condition.keys) {
      const bool given = at(is, key) != at(would_be, key) && !turns_off(key, at(is, key));
      if (!given || std::ranges::find(said, key) != said.end()) continue;
      said.emplace_back(key);
      lines.push_back(std::string(key) + " has no effect " + condition.otherwise);
    }
  }
  return lines;
}

}  // namespace ingot
