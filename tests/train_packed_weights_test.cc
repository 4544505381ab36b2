// Weights that are packed once a step change time and memory, nothing else: not the bits of a
// training, whatever the threads and wherever it was interrupted.
#include <gtest/gtest.h>

#include <cmath>

#include "memory/plan.h"
#include "planning/compile/plan_record.h"
#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/poison.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

constexpr std::int64_t kMicroSteps = 4;

struct Options {
  bool packed = true;
  int threads = 2;
  bool reuse = true;      // of the arena's bytes
  bool poisoned = false;  // dead memory is filled with NaN
};

// Losses, norms and validation losses of three steps, and the weights as raw bytes.
struct Outcome {
  std::vector<double> numbers;
  std::string weights;
  bool operator==(const Outcome&) const = default;
};

// As the planner has it, which packs where there is room; or the same plan without.
PlannedTraining plan_of(const RunConfig& config, Backend& backend, const Options& options) {
  PlannedTraining plan = plan_training(config, backend);
  EXPECT_GT(plan.compiled->packed_weights, 0);
  if (!options.packed) {
    PlanRecord record = record_of(*plan.compiled);
    EXPECT_TRUE(record.pack_weights);
    record.pack_weights = false;
    plan = plan_training(config, backend, {.record = &record});
    EXPECT_EQ(plan.compiled->packed_weights, 0);
  }
  if (!options.reuse)
    plan.memory = plan_memory(plan.compiled->program, *plan.bound, {}, /*reuse=*/false);
  return plan;
}

Outcome outcome_of(const RunConfig& config, const Options& options) {
  cpu::CpuBackend backend = tiny_backend(options.threads);
  TrainingEngine engine(plan_of(config, backend, options), backend, config);
  initialize_weights(engine.executor(), 1, 1);
  engine.settings().learning_rate = 1e-2;
  engine.settings().mtp_weight = 0.3;
  Poison poison(engine.executor());
  if (options.poisoned) engine.executor().set_observer(&poison);
  Outcome outcome;
  std::uint64_t batch = 0;
  for (int step = 0; step < 3; ++step) {
    const StepReport report = engine.step(
        kMicroSteps, [&](auto tokens, auto targets) { learnable_batch(++batch, tokens, targets); });
    std::vector<std::int32_t> tokens(engine.tokens_per_micro_step()), targets(tokens.size());
    learnable_batch(7, tokens, targets);
    const double validation = engine.evaluate(tokens, targets).loss;
    outcome.numbers.insert(outcome.numbers.end(), {report.loss, report.grad_norm, validation});
  }
  const Executor& executor = engine.executor();
  for (const Weight& weight : executor.program().weights()) {
    std::string bytes(executor.program().info(weight.value.values).bytes(), '\0');
    executor.read(weight.value.values, std::as_writable_bytes(std::span(bytes)));
    outcome.weights += bytes;
  }
  for (const double number : outcome.numbers) EXPECT_TRUE(std::isfinite(number));
  return outcome;
}

class PackedWeights : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  // 256 tokens at a time: 64 for each expert.
  RunConfig config(std::vector<std::string> overrides = {}) const {
    overrides.insert(overrides.end(), {"data.sequence_length=64", "batch.tokens_per_step=1024",
                                       "batch.micro_batch=4"});
    return TinyRun(GetParam().first, GetParam().second).config("run", std::move(overrides));
  }
};

TEST_P(PackedWeights, GiveTheSameBitsAsWeightsPackedInEachProduct) {
  const Outcome plain = outcome_of(config(), {.packed = false});
  EXPECT_EQ(outcome_of(config(), {}), plain);
  EXPECT_EQ(outcome_of(config(), {.threads = 3, .reuse = false}), plain);
  EXPECT_EQ(outcome_of(config(), {.threads = 1, .poisoned = true}), plain);
}

TEST_P(PackedWeights, GiveTheSameBitsWhereActivationsAreComputedAgain) {
  const RunConfig again = config({"memory.activations=recompute"});
  EXPECT_EQ(outcome_of(again, {.poisoned = true}), outcome_of(config(), {.packed = false}));
}

INSTANTIATE_TEST_SUITE_P(Runs, PackedWeights,
                         testing::Values(std::pair{"llama", "bf16"}, std::pair{"qwen2", "fp16"},
                                         std::pair{"deepseek_v2", "fp32"},
                                         std::pair{"deepseek_v3", "bf16"},
                                         std::pair{"deepseek_v3", "int8"}),
                         [](const auto& info) {
                           return std::string(info.param.first) + "_" + info.param.second;
                         });

TEST(PackedWeightsOfARun, AreNeitherStoredNorMissedByOneThatIsResumed) {
  const TinyRun run("llama", "bf16");
  const std::vector<std::string> overrides = {"batch.tokens_per_step=128", "batch.micro_batch=4",
                                              "schedule.steps=4"};
  cpu::CpuBackend backend = tiny_backend(2);
  ASSERT_GT(plan_training(run.config("whole", overrides), backend).compiled->packed_weights, 0);
  ASSERT_EQ(run.train("whole", overrides), 0);
  for (std::int64_t step = 1; step <= 4; ++step) {
    ASSERT_EQ(run.train("pieces", overrides, {.steps = step, .threads = 1, .quiet = true}), 0);
  }
  for (const std::string& name : CheckpointReader::list(run.directory("whole"))) {
    const auto contents = checkpoint_contents(run.directory("whole") / name);
    EXPECT_EQ(checkpoint_contents(run.directory("pieces") / name), contents);
    for (const auto& [tensor, bytes] : contents) {
      EXPECT_EQ(tensor.find("packed"), std::string::npos) << tensor;
    }
  }
}

}  // namespace
}  // namespace ingot
