#include "planning/plan_report.h"

#include <fmt/format.h>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "backends/cpu/isa.h"
#include "engine/base/build_text.h"
#include "ops/pack_weight/pack_weight.h"

namespace ingot {
namespace {

constexpr double kMiB = 1 << 20;

// In all, with those of the MTP modules.
double millions(const ParameterCount& parameters) {
  return static_cast<double>(parameters.total + parameters.mtp) * 1e-6;
}

double mib(std::int64_t bytes) { return static_cast<double>(bytes) / kMiB; }

// "keep", or how many activations are stored otherwise: "17 int8, 22 recompute".
std::string activations_summary(const TrainingProgram& compiled) {
  std::string text;
  for (const Storage storage : {Storage::int8, Storage::recompute}) {
    const auto count =
        std::count_if(compiled.stored.begin(), compiled.stored.end(),
                      [&](const auto& activation) { return activation.second == storage; });
    if (count == 0) continue;
    text +=
        (text.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(name_of(storage));
  }
  return text.empty() ? "keep" : text;
}

// How the activations were to be stored, for choices whose program is gone.
std::string activation_choice(const PlanChoices& choices) {
  if (!choices.level) return choices.dear_price > 0 ? "mixed" : "keep";
  constexpr const char* kNames[] = {"keep", "int8", "compact", "recompute"};
  return kNames[static_cast<int>(*choices.level)];
}

// "micro-batch 4, mixed activations, offload states"
std::string in_words(const PlanChoices& choices) {
  std::string text = "micro-batch " + std::to_string(choices.micro_batch) + ", activations " +
                     activation_choice(choices);
  if (choices.state != OptimizerState::fp32) {
    text += ", states " + std::string(name_of(choices.state));
  }
  if (choices.offload != OffloadSet::none) {
    text += ", offload " + std::string(name_of(choices.offload));
  }
  if (choices.fetch_ahead > 0) text += ", " + std::to_string(choices.fetch_ahead) + " ahead";
  if (choices.pack_weights) text += ", weights packed";
  return text;
}

struct PackedWeights {
  int copies = 0;
  std::int64_t bytes = 0;
};
PackedWeights packed_weights(const Program& program) {
  PackedWeights packed;
  for (const Op& op : program.ops()) {
    if (op.kind != &kPackWeight) continue;
    ++packed.copies;
    packed.bytes += program.info(op.outputs[0]).bytes();
  }
  return packed;
}

// How the largest matrix is stored from step to step, what is kept beside it, and the copies that a
// step packs: "bf16, f32 masters, 14 packed", "bf16, i8 residuals", "int8".
std::string weights_summary(const Program& program) {
  const Weight& weight = *std::max_element(
      program.weights().begin(), program.weights().end(),
      [](const Weight& a, const Weight& b) { return a.shape.elements() < b.shape.elements(); });
  const WeightState& value = weight.value;
  const bool coded = value.form == StateForm::int8;
  std::string text(coded ? "int8" : name_of(program.dtype(weight.compute)));
  const auto beside = [&](Tensor t, const char* what) {
    text += ", " + std::string(name_of(program.dtype(t))) + what;
  };
  if (value.form == StateForm::bf16_residual) {
    beside(value.extra, " residuals");
  } else if (weight.rounded_copy()) {
    beside(value.values, " masters");
  }
  const int copies = packed_weights(program).copies;
  return text + (copies > 0 ? ", " + std::to_string(copies) + " packed" : "");
}

// "2.646 s a step (micro-batch 4, activations keep)". Less memory is promised to make nothing
// faster, and more to make nothing slower: what the model says else is its error.
std::string compared(const OtherBudget& other, const PlannedTraining& plan) {
  if (!other.best) return "nothing fits";
  const double seconds = other.best->step_seconds;
  if (seconds == plan.step_seconds) return "the same plan";
  const bool less = other.budget_bytes < plan.budget_bytes;
  std::string text;
  if (less && seconds < plan.step_seconds) {
    text = "about as fast";
  } else if (!less && seconds > plan.step_seconds) {
    text = "no faster";
  } else {
    text += fmt::format("{:.3f} s a step", seconds);
  }
  return text + " (" + in_words(other.best->choices) + ")";
}

std::string alternatives_report(const PlannedTraining& plan) {
  std::string text;
  if (!plan.rejected.empty()) text += "  other plans\n";
  for (const RejectedPlan& other : plan.rejected) {
    text += fmt::format("    {:<48} {:10.1f} MiB {:8.3f} s  {}\n", in_words(other.choices),
                        mib(other.arena_bytes), other.step_seconds, other.why);
  }
  for (const OtherBudget& other : plan.other_budgets) {
    text += fmt::format("  with {}: {}\n",
                        other.budget_bytes < plan.budget_bytes ? "1 GiB less" : "1 GiB more",
                        compared(other, plan));
  }
  return text;
}

}  // namespace

std::string memory_report(const PlannedTraining& plan) {
  const Program& program = plan.compiled->program;
  const MemoryPlan& memory = plan.memory;
  std::string text;
  text += fmt::format("memory plan, micro-batch {} x {} tokens, {} ops, {} tensors\n",
                      plan.compiled->batch, plan.compiled->sequence, program.ops().size(),
                      program.tensors().size());
  if (!plan.of_record.empty()) text += fmt::format("  {}\n", plan.of_record);
  text += fmt::format("  parameters: {:.4g} M\n", millions(plan.parameters));
  text += fmt::format("  {:<20} {:>10}\n", "role", "MiB");
  for (int role = 0; role < kRoleCount; ++role) {
    if (memory.by_role[role] == 0) continue;
    text += fmt::format("  {:<20} {:10.1f}\n", name_of(static_cast<Role>(role)),
                        mib(memory.by_role[role]));
  }
  const double gap =
      memory.lower_bound_bytes == 0
          ? 0
          : 100.0 * static_cast<double>(memory.arena_bytes() - memory.lower_bound_bytes) /
                static_cast<double>(memory.lower_bound_bytes);
  text += fmt::format("  {:<20} {:10.1f}   lower bound {:.1f}, gap {:.3f} %\n", "arena",
                      mib(memory.arena_bytes()), mib(memory.lower_bound_bytes), gap);
  text += fmt::format("  activations: {}\n", activations_summary(*plan.compiled));
  text += fmt::format("  head: {} tokens at a time\n", plan.choices.head_chunk);
  if (const PackedWeights packed = packed_weights(program); packed.copies > 0) {
    text += fmt::format("  packed once a step: {} weights, {:.1f} MiB\n", packed.copies,
                        mib(packed.bytes));
  }
  if (plan.memory.offload_bytes() > 0) {
    text += fmt::format("  offloaded: {}, {:.1f} MiB in a file", name_of(plan.choices.offload),
                        mib(plan.memory.offload_bytes()));
    if (const int ahead = plan.choices.fetch_ahead; ahead > 0) {
      text += fmt::format(", read up to {} cop{} ahead", ahead, ahead == 1 ? "y" : "ies");
    }
    text += "\n";
  }
  if (plan.snapshot_bytes > 0) {
    text +=
        fmt::format("  {:<20} {:10.1f}   a copy that saves are written from while steps go on\n",
                    "snapshot", mib(plan.snapshot_bytes));
  }
  if (plan.step_seconds > 0) text += fmt::format("  predicted step: {:.3f} s\n", plan.step_seconds);
  text += fmt::format("  {:<20} {:10.1f}   with the process itself, of a budget of {:.1f}\n",
                      "predicted peak", mib(plan.predicted_peak_bytes()), mib(plan.budget_bytes));
  text += fmt::format("  peak at {}; largest tensors alive there:\n",
                      describe(program, program.ops()[memory.peak_op]));
  for (const MemoryPlan::Large& large : memory.largest) {
    text += fmt::format("    {:10.1f}  {:<16} {} {}\n", mib(large.bytes),
                        name_of(role_of(program, large.owner)), shape_text(program, large),
                        name_of(program, large.owner));
  }
  text += alternatives_report(plan);
  text.pop_back();
  return text;
}

std::string memory_report_json(const PlannedTraining& plan,
                               const std::vector<MeasuredPass>& passes) {
  const Program& program = plan.compiled->program;
  const MemoryPlan& memory = plan.memory;
  const ParameterCount& parameters = plan.parameters;
  nlohmann::json breakdown = nlohmann::json::object();
  for (int role = 0; role < kRoleCount; ++role) {
    breakdown[std::string(name_of(static_cast<Role>(role)))] = memory.by_role[role];
  }
  nlohmann::json rejected = nlohmann::json::array();
  for (const RejectedPlan& other : plan.rejected) {
    rejected.push_back({{"choices",
                         {{"micro_batch", other.choices.micro_batch},
                          {"activations", activation_choice(other.choices)},
                          {"optimizer_state", name_of(other.choices.state)},
                          {"head_chunk", other.choices.head_chunk},
                          {"offload", name_of(other.choices.offload)},
                          {"fetch_ahead", other.choices.fetch_ahead}}},
                        {"arena_bytes", other.arena_bytes},
                        {"why", other.why}});
  }
  nlohmann::json largest = nlohmann::json::array();
  for (const MemoryPlan::Large& large : memory.largest) {
    largest.push_back({{"name", name_of(program, large.owner)},
                       {"role", name_of(role_of(program, large.owner))},
                       {"dtype", name_of(dtype_of(program, large.owner))},
                       {"bytes", large.bytes}});
  }
  nlohmann::json json = {
      {"build", build_text()},
      {"kernels", cpu::isa_name(cpu::isa())},
      {"parameters",
       {{"total", parameters.total + parameters.mtp},
        {"active", parameters.active + parameters.active_mtp}}},
      {"arena_bytes", memory.arena_bytes()},
      {"lower_bound_bytes", memory.lower_bound_bytes},
      {"breakdown", breakdown},
      {"snapshot_bytes", plan.snapshot_bytes},
      {"predicted_peak_rss_bytes", plan.predicted_peak_bytes()},
      {"predicted_step_seconds",
       plan.step_seconds > 0 ? nlohmann::json(plan.step_seconds) : nlohmann::json()},
      {"budget_bytes", plan.budget_bytes},
      {"fits", plan.fits()},
      {"choices",
       {{"micro_batch", plan.compiled->batch},
        {"activations", activations_summary(*plan.compiled)},
        {"weights", weights_summary(program)},
        {"optimizer_state", name_of(plan.choices.state)},
        {"head_chunk", plan.choices.head_chunk},
        {"offload", name_of(plan.choices.offload)},
        {"fetch_ahead", plan.choices.fetch_ahead}}},
      {"peak", {{"op", describe(program, program.ops()[memory.peak_op])}, {"largest", largest}}},
      {"rejected", rejected}};
  if (!passes.empty()) json["passes"] = to_json(passes);
  return json.dump(2);
}

void format_prediction_line(char* line, std::size_t size, const PlannedTraining& plan,
                            std::int64_t actual_peak_bytes) {
  const auto written = fmt::format_to_n(
      line, size - 1, "memory: predicted peak {:.1f} MiB, actual so far {:.1f} MiB",
      mib(plan.predicted_peak_bytes()), mib(actual_peak_bytes));
  *written.out = 0;
}

}  // namespace ingot
