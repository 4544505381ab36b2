#include "planning/plan_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "ops/cpu_kernels.h"

namespace ingot {
namespace {

nlohmann::json choices_of(std::vector<std::string> overrides) {
  const RunConfig config = parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 64,
      "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
      "num_attention_heads": 2}, "data": {"sequence_length": 64},
      "batch": {"tokens_per_step": 256, "micro_batch": 4}})",
                                            "run.json", ".", overrides);
  cpu::CpuBackend backend(1, cpu::all_cpu_kernels());
  const PlannedTraining plan = plan_training(config, backend);
  return nlohmann::json::parse(memory_report_json(plan, config)).at("choices");
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

}  // namespace
}  // namespace ingot
