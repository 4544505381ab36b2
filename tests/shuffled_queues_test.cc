// What the design of queues promises: with what schedule_queues() puts in, every interleaving of
// the queues gives the bits of the list in order; without one of its waits, some does not.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "engine/program/schedule_queues.h"
#include "memory/plan.h"
#include "tests/shuffled_backend.h"
#include "tests/tiny_run.h"
#include "tests/training_outcome.h"

namespace ingot {
namespace {

PlannedTraining planned(const RunConfig& config, Backend& backend, int ahead,
                        std::optional<std::size_t> without_wait = {}) {
  TrainingProgram compiled =
      compile_training(config, {.batch = 2, .offload = OffloadSet::all, .fetch_ahead = ahead});
  check_program(compiled.program);
  if (without_wait) compiled.program.remove_ops(std::vector<std::size_t>{*without_wait});
  return planned_as(std::move(compiled), backend);
}

Outcome outcome_of(const RunConfig& config, PlannedTraining plan, Backend& backend,
                   ShuffledBackend* shuffled = nullptr) {
  TrainingEngine engine(std::move(plan), backend, config);
  std::optional<PoisonBetweenOps> poison;
  if (shuffled != nullptr) {
    engine.executor().set_observer(&poison.emplace(engine.executor(), shuffled->queues()));
  }
  return outcome_of(engine, 2);
}

class ShuffledQueuesOf : public testing::TestWithParam<const char*> {};

TEST_P(ShuffledQueuesOf, AnyInterleavingGivesTheBitsOfTheListInOrder) {
  const TinyRun run(GetParam(), "bf16");
  const RunConfig config = run.config("run", {"batch.micro_batch=2"});
  cpu::CpuBackend in_order = tiny_backend(1);
  const Outcome expected = outcome_of(config, planned(config, in_order, 0), in_order);
  for (const int ahead : {0, 1, 2, 4}) {
    EXPECT_TRUE(outcome_of(config, planned(config, in_order, ahead), in_order) == expected)
        << "on threads, " << ahead << " ahead";
    for (const Shuffle policy : {Shuffle::any, Shuffle::others_last, Shuffle::others_first}) {
      for (const unsigned seed : {1u, 2u}) {
        ShuffledBackend backend(policy, seed);
        EXPECT_TRUE(outcome_of(config, planned(config, backend, ahead), backend, &backend) ==
                    expected)
            << ahead << " ahead, policy " << static_cast<int>(policy) << ", seed " << seed;
        if (policy != Shuffle::any) break;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ShuffledQueuesOf, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

// Of the waits for one op the last is looked at: on a queue that keeps its order it stands for
// those before it.
TEST(ShuffledQueues, AWaitThatIsMissingShowsWithSomeSeed) {
  const TinyRun run("llama", "bf16");
  const RunConfig config = run.config("run", {"batch.micro_batch=2"});
  cpu::CpuBackend in_order = tiny_backend(1);
  const Outcome expected = outcome_of(config, planned(config, in_order, 0), in_order);
  const PlannedTraining whole = planned(config, in_order, 2);
  const std::span<const Op> ops = std::as_const(whole.compiled->program).ops();
  int tried = 0;
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const bool of_fetch = ops[i].kind == &kWait && ops[i].outputs[0].id >= 0 &&
                          whole.compiled->program.info(ops[i].outputs[0]).place == Place::arena;
    if (!of_fetch || (ops[i].part != Part::micro_step && ops[i].part != Part::update)) continue;
    const bool last = ops[i + 1].kind != &kWait && ops[i + 1].queue == kCompute;
    if (!last || ++tried % 4 != 1) continue;  // each is a training of its own
    ShuffledBackend backend(Shuffle::others_last, 1);
    EXPECT_FALSE(outcome_of(config, planned(config, backend, 2, i), backend, &backend) == expected)
        << "without the wait of " << describe(whole.compiled->program, ops[i]);
  }
  EXPECT_GT(tried, 10);
}

}  // namespace
}  // namespace ingot
