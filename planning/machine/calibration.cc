#include "planning/machine/calibration.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/execution/op_times.h"
#include "engine/numbers/random.h"
#include "memory/passes/activation_policy.h"
#include "memory/plan.h"
#include "ops/transfer/transfer.h"
#include "planning/compile/training_program.h"
#include "planning/machine/calibration_file.h"
#include "planning/machine/disk_speed.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

// Hidden sizes of the probes: the first at which a core's rate has settled, and smaller ones for
// budgets that it would break.
constexpr std::array<int, 3> kWidths = {512, 256, 128};

// Between them the two models have every kind of op.
std::string dense_model(int width) {
  const auto size = [width](int eighths) { return std::to_string(width * eighths / 8); };
  return R"({"model_type": "llama", "num_hidden_layers": 1, "max_position_embeddings": 512,
    "vocab_size": )" +
         size(32) + R"(, "hidden_size": )" + size(8) + R"(, "intermediate_size": )" + size(22) +
         R"(, "num_attention_heads": )" + std::to_string(width / 64) + "}";
}

std::string expert_model(int width) {
  const auto size = [width](int eighths) { return std::to_string(width * eighths / 8); };
  return R"({"model_type": "deepseek_v3", "num_hidden_layers": 1, "first_k_dense_replace": 0,
    "n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2,
    "topk_group": 1, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64,
    "num_nextn_predict_layers": 0, "max_position_embeddings": 512, "vocab_size": )" +
         size(32) + R"(, "hidden_size": )" + size(8) + R"(, "intermediate_size": )" + size(22) +
         R"(, "moe_intermediate_size": )" + size(4) + R"(, "q_lora_rank": )" + size(3) +
         R"(, "kv_lora_rank": )" + size(2) + R"(, "num_attention_heads": )" +
         std::to_string(width / 64) + R"(, "num_key_value_heads": )" + std::to_string(width / 64) +
         "}";
}

struct ProbeSize {
  std::int64_t batch, sequence;
};
constexpr std::array<ProbeSize, 2> kSizes = {{{1, 128}, {4, 512}}};
constexpr int kRuns = 3;  // the fastest counts

// How long probes may be repeated because other work disturbed them.
class Patience {
 public:
  bool lasts() const { return seconds_ > 0; }
  void spend(double seconds) { seconds_ -= seconds; }

 private:
  double seconds_ = 1;
};

RunConfig probe_config(const RunConfig& config, const std::string& model, ProbeSize size) {
  RunConfig probe = parse_run_config(R"({"model": )" + model + "}", "calibration", ".");
  probe.data.sequence_length = size.sequence;
  probe.batch.tokens_per_step = size.batch * size.sequence;
  probe.precision = config.precision;
  probe.optimizer = config.optimizer;
  probe.log.sample_every = 0;
  return probe;
}

void write_random_tokens(Executor& executor, Tensor ids, std::int64_t vocabulary) {
  std::vector<std::int32_t> tokens(executor.program().info(ids).shape.elements());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] =
        static_cast<std::int32_t>(random_uniform(1, ids.id, i) * static_cast<double>(vocabulary));
  }
  executor.write(ids, std::as_bytes(std::span(tokens)));
}

// The fastest of several runs of each op of a program, in memory of its own. More runs while none
// was quiet: in a quiet one no op takes much longer than it must.
class Probe {
 public:
  // folder: of what is offloaded.
  Probe(const RunConfig& config, TrainingProgram compiled, Backend& backend, Patience& patience,
        const std::filesystem::path& folder = {})
      : compiled_(std::move(compiled)) {
    BoundProgram bound(compiled_.program, backend);
    const MemoryPlan plan = plan_memory(compiled_.program, bound);
    Executor executor(compiled_.program, std::move(bound), plan.placement, backend, folder);
    initialize_weights(executor, 1, 1);
    write_random_tokens(executor, compiled_.inputs.tokens, config.model.vocab_size);
    write_random_tokens(executor, compiled_.inputs.targets, config.model.vocab_size);
    OpTimes times(executor);
    executor.set_observer(&times);
    StepState state;
    set_slot(state, compiled_.program, step_slot::kLossFactor,
             1 / static_cast<double>(config.batch.tokens_per_step));
    set_slot(state, compiled_.program, step_slot::kSequences, 1);
    state.learning_rate = 1e-4;
    for (int run = 0; run < kRuns || (!quiet_ && patience.lasts()); ++run) {
      executor.run(Part::micro_step, state);
      executor.run(Part::update, state);
      times.collect();
      if (was_quiet(times)) quiet_ = true;
      if (run >= kRuns) patience.spend(times.last_seconds());
    }
    for (std::size_t i = 0; i < compiled_.program.ops().size(); ++i) {
      fastest_.push_back(times.fastest(i));
    }
  }

  // None of the runs was quiet.
  bool disturbed() const { return !quiet_; }

  void add_to(CostModel& costs, bool transfers) const {
    const Program& program = compiled_.program;
    for (std::size_t i = 0; i < program.ops().size(); ++i) {
      const Op& op = program.ops()[i];
      const bool transfer = op.kind == &kFetch || op.kind == &kStore;
      if (transfer != transfers || !std::isfinite(fastest_[i])) continue;
      costs.add(CostModel::key_of(program, op), {.rows = CostModel::rows_of(program, op),
                                                 .flops = op.flops,
                                                 .bytes = op.bytes,
                                                 .seconds = fastest_[i]});
    }
  }

 private:
  // The thread hardly waited for a core, and, where the system does not tell (a core taken by the
  // host of a virtual machine), no op took much longer than it can.
  static bool was_quiet(const OpTimes& times) {
    // Alone 1.02 to 1.13. Beside two compilers 1.1 to 2.3: alone it would not be enough.
    constexpr double kMostSpread = 1.5;
    const std::span<const Op> ops = times.program().ops();
    double least = 0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
      if (ops[i].queue == kCompute && std::isfinite(times.fastest(i))) least += times.fastest(i);
    }
    return times.last_quiet() && times.last_seconds() <= kMostSpread * least;
  }

  TrainingProgram compiled_;
  std::vector<double> fastest_;  // by op
  bool quiet_ = false;
};

// What was measured, and whether other work disturbed any of it.
struct MeasuredCosts {
  CostModel costs;
  bool disturbed = false;
  Patience patience;

  void add(const Probe& probe, bool transfers) {
    probe.add_to(costs, transfers);
    disturbed = disturbed || probe.disturbed();
  }
};

// In 8 bits and computed again, so that the ops for that are there as well.
TrainingProgram compile_probe(const RunConfig& config) {
  const auto store_in_8_bits = [](const Program& program, std::span<const SavedActivation> saved) {
    return storage_at(program, saved, ActivationLevel::int8);
  };
  const std::int64_t batch = config.batch.tokens_per_step / config.data.sequence_length;
  return compile_training(config, {.batch = batch, .storage = store_in_8_bits});
}

void measure(const RunConfig& config, Backend& backend, MeasuredCosts& measured) {
  measured.add(Probe(config, compile_probe(config), backend, measured.patience),
               /*transfers=*/false);
}

// The largest width whose probes take no more than `bytes`; else the smallest.
int width_within(const RunConfig& config, Backend& backend, std::int64_t bytes) {
  for (const int width : kWidths) {
    std::int64_t most = 0;
    for (const std::string& model : {dense_model(width), expert_model(width)}) {
      TrainingProgram compiled = compile_probe(probe_config(config, model, kSizes.back()));
      const BoundProgram bound(compiled.program, backend);
      most = std::max(most, least_arena_bytes(compiled.program, bound));
    }
    if (most <= bytes) return width;
  }
  return kWidths.back();
}

// Copies to and from a file whose pages are in memory. Nothing where no folder takes a file.
void measure_transfers(const RunConfig& config, Backend& backend, int width,
                       MeasuredCosts& measured) {
  const RunConfig small = probe_config(config, dense_model(width), kSizes.front());
  for (const std::filesystem::path& folder :
       {existing_part(offload_folder(config)), std::filesystem::temp_directory_path()}) {
    try {
      for (const int ahead : {0, 1}) {  // by all threads, and each queue by its own
        const Probe probe(
            small,
            compile_training(small, {.batch = 1, .offload = OffloadSet::all, .fetch_ahead = ahead}),
            backend, measured.patience, folder);
        measured.add(probe, /*transfers=*/true);
      }
      return;
    } catch (const Error&) {
      // No place for a file: the run that wants one will say so.
    }
  }
}

// What the timings hold for: this device, this build of the program, these forms of ops.
std::string fingerprint(const RunConfig& config, const Backend& backend, int width) {
  const nlohmann::json all = to_json(config);
  return backend.traits().name + all.at("precision").dump() +
         all.at("optimizer").at("type").dump() + all.at("optimizer").at("state").dump() + " " +
         std::to_string(width) + " " + backend.build_id();
}

nlohmann::json to_json(const CostModel& costs) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, list] : costs.timings()) {
    for (const Timing& timing : list) {
      json[key].push_back({timing.rows, timing.flops, timing.bytes, timing.seconds});
    }
  }
  return json;
}

bool plausible(double value) { return std::isfinite(value) && value >= 0; }

// Throws whatever a damaged file makes it throw.
CostModel costs_of(const nlohmann::json& json) {
  CostModel costs;
  for (const auto& [key, list] : json.items()) {
    for (const auto& numbers : list) {
      const Timing timing{numbers.at(0), numbers.at(1), numbers.at(2), numbers.at(3)};
      if (!(timing.rows >= 1) || !plausible(timing.flops) || !plausible(timing.bytes) ||
          !plausible(timing.seconds)) {
        throw Error(ErrorCode::data, "a timing is out of range", key, "measure again");
      }
      costs.add(key, timing);
    }
  }
  return costs;
}

MeasuredCosts measure_costs(const RunConfig& config, Backend& backend, int width) {
  MeasuredCosts measured;
  for (const std::string& model : {dense_model(width), expert_model(width)}) {
    for (const ProbeSize size : kSizes) {
      measure(probe_config(config, model, size), backend, measured);
    }
  }
  measure_transfers(config, backend, width, measured);
  if (config.optimizer.state == OptimizerState::automatic) {
    for (const OptimizerState state : {OptimizerState::bf16, OptimizerState::int8}) {
      RunConfig probe = probe_config(config, dense_model(width), kSizes.front());
      probe.optimizer.state = state;
      measure(probe, backend, measured);
    }
  }
  return measured;
}

// What was measured before; none where it is missing or damaged.
std::optional<MeasuredCosts> kept_costs(const CalibrationFile& file) {
  try {
    const nlohmann::json kept = file.read();
    if (!kept.is_null())
      return MeasuredCosts{.costs = costs_of(kept), .disturbed = file.doubtful()};
  } catch (const std::exception&) {
    // Damaged: measured again, and mended.
  }
  return std::nullopt;
}

bool is_of_transfer(const std::string& key) {
  return key.starts_with(kFetch.name) || key.starts_with(kStore.name);
}

bool has_transfers(const CostModel& costs) {
  return std::ranges::any_of(costs.timings(),
                             [](const auto& timing) { return is_of_transfer(timing.first); });
}

CalibrationFile costs_file_of(const RunConfig& config, const Backend& backend, int width) {
  return CalibrationFile("costs", fingerprint(config, backend, width));
}

// Of both the faster times; transfers that only were timed before, as they were.
void keep_better(CostModel& costs, const CostModel& before) {
  costs.keep_faster(before);
  if (has_transfers(costs) || !has_transfers(before)) return;
  for (const auto& [key, timings] : before.timings()) {
    if (!is_of_transfer(key)) continue;
    for (const Timing& timing : timings) costs.add(key, timing);
  }
}

// What is kept for probes of this width; what is not, or not as it should be, is measured and kept.
MeasuredCosts kept_or_measured(const RunConfig& config, Backend& backend, int width) {
  const CalibrationFile file = costs_file_of(config, backend, width);
  const std::optional<MeasuredCosts> kept = kept_costs(file);
  MeasuredCosts measured;
  if (!kept || file.wants_another()) {
    measured = measure_costs(config, backend, width);
    if (kept) keep_better(measured.costs, kept->costs);
  } else {
    measured = *kept;
    if (has_transfers(measured.costs) || config.memory.offload == OffloadPolicy::none) {
      return measured;
    }
    measure_transfers(config, backend, width, measured);  // no folder took a file before
    if (!has_transfers(measured.costs)) return measured;
  }
  file.write(to_json(measured.costs), measured.disturbed);
  return measured;
}

// The costs, with the error they may have.
CostModel rated(MeasuredCosts measured, const Backend& backend) {
  // Beside two compilers a probe takes 1.1 to 2.3 times what it can (probe_run.cc), and not all ops
  // alike; the fastest of several runs of each counts, which is off by less: twice a quiet one.
  constexpr double kDisturbedError = 0.1;
  if (measured.disturbed) measured.costs.set_error(kDisturbedError);
  measured.costs.set_copy_share(backend.traits().copy_share);
  return std::move(measured.costs);
}

}  // namespace

std::filesystem::path costs_file(const RunConfig& config, const Backend& backend) {
  return costs_file_of(config, backend, kWidths.front()).path();
}

CostModel machine_costs(const RunConfig& config, Backend& backend, std::int64_t arena_bytes,
                        std::int64_t held_bytes) {
  int width = width_within(config, backend, arena_bytes);
  if (held_bytes > 0) {
    if (auto kept = kept_costs(costs_file_of(config, backend, width))) return rated(*kept, backend);
    width = width_within(config, backend, arena_bytes - held_bytes);
  }
  return rated(kept_or_measured(config, backend, width), backend);
}

bool doubt_costs(const RunConfig& config, const Backend& backend) {
  bool again = false;
  for (const int width : kWidths) again |= costs_file_of(config, backend, width).doubt();
  return again;
}

double best_peak_flops(const Backend& backend, std::string_view type, double measured) {
  const CalibrationFile file(
      "peak", backend.traits().name + " " + std::string(type) + " " + backend.build_id());
  const nlohmann::json kept = file.read();
  const double best = kept.is_number() ? kept.get<double>() : 0;
  // Neighbours take a part of the machine, not nearly all of it: a number far above is damage.
  constexpr double kDisturbed = 20;
  if (best >= measured && best < kDisturbed * measured) return best;
  file.write(measured);
  return measured;
}

}  // namespace ingot
