#include "planning/plan_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "ops/cpu_kernels.h"
#include "planning/planner.h"

namespace ingot {
namespace {

PlannedTraining plan_with(const std::vector<std::string>& overrides, cpu::CpuBackend& backend) {
  const RunConfig config = parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 64,
      "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
      "num_attention_heads": 2}, "data": {"sequence_length": 64},
      "batch": {"tokens_per_step": 256, "micro_batch": 4}})",
                                            "run.json", ".", overrides);
  return plan_training(config, backend);
}

nlohmann::json choices_of(const std::vector<std::string>& overrides) {
  cpu::CpuBackend backend(1, cpu::all_cpu_kernels());
  return nlohmann::json::parse(memory_report_json(plan_with(overrides, backend))).at("choices");
}

TEST(PlanReport, TellsHowWeightsAreStoredAndWhatIsKeptBesideThem) {
  EXPECT_EQ(choices_of({"precision.compute=fp32"})["weights"], "f32");
  EXPECT_EQ(choices_of({"precision.compute=fp16"})["weights"], "f16, f32 masters");
  EXPECT_EQ(choices_of({"precision.master=bf16"})["weights"], "bf16");
  EXPECT_EQ(choices_of({"precision.master=bf16_residual"})["weights"], "bf16, i8 residuals");
  for (const char* compute : {"fp32", "bf16", "int8"}) {
    EXPECT_EQ(choices_of({"precision.master=int8",
                          std::string("precision.compute=") + compute})["weights"],
              "int8");
  }
}

TEST(PlanReport, CountsWeightsThatArePackedOnceAStep) {
  const std::string weights =
      choices_of({"batch.tokens_per_step=1024", "batch.micro_batch=1"})["weights"];
  EXPECT_TRUE(weights.starts_with("bf16, f32 masters, ")) << weights;
  EXPECT_TRUE(weights.ends_with(" packed")) << weights;
}

// The line of the report about another budget, whose best plan would take so long.
std::string line_of_other_budget(std::int64_t more_bytes, double seconds) {
  cpu::CpuBackend backend(1, cpu::all_cpu_kernels());
  PlannedTraining plan = plan_with({}, backend);
  plan.step_seconds = 1;
  plan.other_budgets.push_back(
      {.budget_bytes = plan.budget_bytes + more_bytes,
       .best = PlanOption{.choices = {.micro_batch = 1}, .step_seconds = seconds}});
  const std::string report = memory_report(plan);
  return report.substr(report.find("  with 1 GiB"));
}

TEST(PlanReport, NeverPromisesThatLessMemoryIsFasterOrThatMoreIsSlower) {
  constexpr std::int64_t kGiB = 1 << 30;
  EXPECT_EQ(line_of_other_budget(-kGiB, 0.8),
            "  with 1 GiB less: about as fast (micro-batch 1, activations keep)");
  EXPECT_EQ(line_of_other_budget(-kGiB, 1.2),
            "  with 1 GiB less: 1.200 s a step (micro-batch 1, activations keep)");
  EXPECT_EQ(line_of_other_budget(kGiB, 0.8),
            "  with 1 GiB more: 0.800 s a step (micro-batch 1, activations keep)");
  EXPECT_EQ(line_of_other_budget(kGiB, 1.2),
            "  with 1 GiB more: no faster (micro-batch 1, activations keep)");
  EXPECT_EQ(line_of_other_budget(kGiB, 1), "  with 1 GiB more: the same plan");
}

TEST(PlanReport, SaysWhatBecameOfARecordedPlan) {
  cpu::CpuBackend backend(1, cpu::all_cpu_kernels());
  PlannedTraining plan = plan_with({}, backend);
  EXPECT_EQ(memory_report(plan).find("recorded"), std::string::npos);
  plan.of_record = "plan: as recorded in the checkpoint";
  EXPECT_NE(memory_report(plan).find("\n  plan: as recorded in the checkpoint\n"),
            std::string::npos);
}

}  // namespace
}  // namespace ingot
