// The memory plan held against execution (spec/memory.md G3): for programs of random models and
// random choices, an arena in which every byte is used again and one in which none is give the same
// bits, whatever dead memory holds.
#include <gtest/gtest.h>

#include <cmath>

#include "memory/plan.h"
#include "planning/planner.h"
#include "tests/poison.h"
#include "tests/random_model.h"
#include "tests/tiny_run.h"
#include "tests/training_outcome.h"

namespace ingot {
namespace {

constexpr std::uint64_t kPrograms = 200;
constexpr std::int64_t kSequence = 8;

RunConfig random_config(std::uint64_t seed) {
  Dice dice(seed);
  const std::string model = random_model(dice);
  const std::int64_t batch = dice.one_of({1, 2, 3});
  const std::string text =
      R"({"model": )" + model +
      R"(, "data": {"sequence_length": 8}, "batch": {"tokens_per_step": )" +
      std::to_string(batch * kSequence) + R"(, "micro_batch": )" + std::to_string(batch) +
      R"(}, "precision": {"compute": ")" + dice.one_of({"fp32", "bf16", "fp16"}) +
      R"("}, "memory": {"activations": ")" + dice.one_of({"keep", "int8", "compact", "recompute"}) +
      R"(", "offload": ")" + dice.one_of({"none", "none", "states", "masters", "all"}) +
      R"(", "offload_directory": "."}})";
  return parse_run_config(text, "random", ".");
}

Outcome outcome_of(const RunConfig& config, bool packed) {
  cpu::CpuBackend backend = tiny_backend(2);
  PlannedTraining plan = plan_training(config, backend);
  if (!packed) plan.memory = plan_memory(plan.compiled->program, *plan.bound, {}, /*reuse=*/false);
  TrainingEngine engine(std::move(plan), backend, config);
  Poison poison(engine.executor());
  if (packed) engine.executor().set_observer(&poison);
  return outcome_of(engine, 1);
}

TEST(RandomPrograms, RunInAPackedArenaAsInOneWithoutReuse) {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    SCOPED_TRACE("program " + std::to_string(seed));
    const RunConfig config = random_config(seed);
    const Outcome packed = outcome_of(config, true);
    for (const double number : packed.numbers) ASSERT_TRUE(std::isfinite(number));
    ASSERT_TRUE(packed == outcome_of(config, false));
  }
}

}  // namespace
}  // namespace ingot
