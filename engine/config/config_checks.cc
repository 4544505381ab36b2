// What fields of a run config say together: contradictions.
#include <fmt/format.h>

#include <utility>

#include "engine/config/config_fields.h"

namespace ingot {
namespace {

// Collects what is said about keys.
struct Complaints {
  std::vector<Contradiction> list;

  template <class Value>
  void add(const std::string& key, const Value& value, std::string mend) {
    list.push_back({key, "\"" + key + "\" is " + shown(Json(value)), std::move(mend)});
  }
};

void check_batch(const RunConfig& config, Complaints& complaints) {
  const std::int64_t sequence = config.data.sequence_length;
  const std::int64_t tokens = config.batch.tokens_per_step;
  const std::int64_t micro_batch = config.batch.micro_batch.value_or(1);
  constexpr std::int64_t kMaxMicroTokens = std::int64_t{1} << 28;
  if (micro_batch * sequence > kMaxMicroTokens) {
    complaints.add("batch.micro_batch", micro_batch,
                   "micro_batch * sequence_length is at most " + std::to_string(kMaxMicroTokens));
  } else if (const std::int64_t ranks = config.parallel.data_ranks();
             tokens % (micro_batch * sequence * ranks) != 0) {
    complaints.add("batch.tokens_per_step", tokens,
                   "a multiple of " + std::string(ranks > 1 ? "parallel.data * " : "") +
                       std::string(config.batch.micro_batch ? "micro_batch * " : "") +
                       "sequence_length (" + std::to_string(ranks * micro_batch * sequence) + ")");
  }
  if (config.schedule.steps > kMaxRunTokens / tokens) {
    complaints.add(
        "schedule.steps", config.schedule.steps,
        "with these \"tokens_per_step\" at most " + std::to_string(kMaxRunTokens / tokens));
  }
  const ModelConfig& model = config.model;
  if (sequence > model.max_position_embeddings) {
    complaints.add("data.sequence_length", sequence,
                   "at most the model's \"max_position_embeddings\" (" +
                       std::to_string(model.max_position_embeddings) + ")");
  }
  if (sequence <= model.num_nextn_predict_layers + 1) {
    complaints.add("data.sequence_length", sequence, "longer than the MTP modules look ahead");
  }
}

void check_precision(const RunConfig& config, Complaints& complaints) {
  const MasterType master = config.precision.master;
  const bool in_bf16 = master == MasterType::bf16 || master == MasterType::bf16_residual;
  const ComputeType compute = config.precision.compute;
  if (in_bf16 && (compute == ComputeType::fp32 || compute == ComputeType::fp16)) {
    complaints.add("precision.master", master == MasterType::bf16 ? "bf16" : "bf16_residual",
                   "for weights that are bf16 in computation, see \"precision.compute\"");
  }
}

void check_muon(const OptimizerConfig& optimizer, Complaints& complaints) {
  if (optimizer.type != OptimizerType::muon || optimizer.learning_rate > 0) return;
  complaints.add("optimizer.learning_rate", optimizer.learning_rate,
                 "above 0 with muon, whose own rate follows it through the schedule");
}

void check_update_in_backward(const RunConfig& config, Complaints& complaints) {
  if (!config.optimizer.update_in_backward) return;
  const std::int64_t micro_batch = config.batch.micro_batch.value_or(1);
  if (config.batch.micro_batch &&
      micro_batch * config.data.sequence_length != config.batch.tokens_per_step) {
    complaints.add("optimizer.update_in_backward", true,
                   "only where batch.micro_batch * data.sequence_length is batch.tokens_per_step: "
                   "gradients of several micro-batches must be summed first");
  }
  if (config.spike.z_score > 0) {
    complaints.add("optimizer.update_in_backward", true,
                   "only with \"spike.z_score\" 0: weights are updated before the loss is judged");
  }
}

void check_validation(const DataConfig& data, Complaints& complaints) {
  if (!data.validation_batches || data.validation_tokens == kDefaultValidationTokens) return;
  complaints.add(
      "data.validation_batches", *data.validation_batches,
      "leave it out beside \"validation_tokens\" (" + std::to_string(data.validation_tokens) + ")");
}

// The learning rate does not fall before it has risen.
void check_decay(const ScheduleConfig& schedule, Complaints& complaints) {
  const std::int64_t left = schedule.steps - schedule.warmup_steps;
  const std::string after = "the steps after the warm-up (" + std::to_string(left) + ")";
  if (schedule.decay_steps > 0) {
    if (schedule.decay_steps <= left) return;
    complaints.add("schedule.decay_steps", schedule.decay_steps, "at most " + after);
  } else {
    const double steps = static_cast<double>(schedule.steps);
    const double most = static_cast<double>(left) / steps;
    if (schedule.decay_fraction <= most * (1 + 1e-12)) return;
    complaints.add("schedule.decay_fraction", schedule.decay_fraction,
                   fmt::format("at most {:.6g}, {} of {}", most, after, schedule.steps));
  }
}

void check_milestones(const ScheduleConfig& schedule, Complaints& complaints) {
  const auto steps = static_cast<double>(schedule.steps);
  if (schedule.milestones.size() != schedule.factors.size()) {
    complaints.add(
        "schedule.factors", schedule.factors,
        "one for each of the " + std::to_string(schedule.milestones.size()) + " milestones");
  }
  double last = 0;
  for (const double milestone : schedule.milestones) {
    const double step = milestone < 1 ? milestone * steps : milestone;
    if (step <= last || step > steps) {
      complaints.add("schedule.milestones", schedule.milestones,
                     "rising, and none past \"schedule.steps\"");
      return;
    }
    if (step < static_cast<double>(schedule.warmup_steps)) {
      complaints.add(
          "schedule.milestones", schedule.milestones,
          "none within the warm-up (" + std::to_string(schedule.warmup_steps) + " steps)");
      return;
    }
    last = step;
  }
}

void check_schedule(const ScheduleConfig& schedule, Complaints& complaints) {
  if (schedule.warmup_steps > schedule.steps) {
    complaints.add("schedule.warmup_steps", schedule.warmup_steps,
                   "at most \"schedule.steps\" (" + std::to_string(schedule.steps) + ")");
    return;
  }
  if (schedule.type == ScheduleType::wsd) check_decay(schedule, complaints);
  if (schedule.type == ScheduleType::multi_step) check_milestones(schedule, complaints);
}

// What ranks that split the batch cannot do yet.
void check_data_ranks(const RunConfig& config, Complaints& complaints) {
  const ParallelConfig& parallel = config.parallel;
  if (parallel.data_ranks() == 1) return;
  if (parallel.zero.value_or(0) > 0) {
    complaints.add("parallel.zero", *parallel.zero,
                   std::string("not available in this version; use 0"));
  }
  if (config.optimizer.update_in_backward) {
    complaints.add("optimizer.update_in_backward", true,
                   "only with \"parallel.data\" 1: gradients are summed over ranks first");
  }
  if (config.precision.gradient == GradientType::bf16_residual) {
    complaints.add("precision.gradient", "bf16_residual",
                   "with \"parallel.data\" above 1 \"fp32\" or \"bf16\"");
  }
}

void check_available(const ParallelConfig& parallel, Complaints& complaints) {
  const std::pair<const char*, std::int64_t> sizes[] = {{"parallel.tensor", parallel.tensor},
                                                        {"parallel.pipeline", parallel.pipeline},
                                                        {"parallel.expert", parallel.expert}};
  for (const auto& [key, size] : sizes) {
    if (size > 1) complaints.add(key, size, std::string("not available in this version; use 1"));
  }
}

}  // namespace

std::vector<Contradiction> contradictions(const RunConfig& config) {
  Complaints complaints;
  check_batch(config, complaints);
  check_validation(config.data, complaints);
  check_precision(config, complaints);
  check_muon(config.optimizer, complaints);
  check_update_in_backward(config, complaints);
  check_schedule(config.schedule, complaints);
  check_data_ranks(config, complaints);
  check_available(config.parallel, complaints);
  return complaints.list;
}

}  // namespace ingot
