// Ranks that split the batch, as threads of one process: what they learn together is what one rank
// learns from all of it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include "ops/cpu_kernels.h"
#include "parallel/communicators/thread_ranks.h"
#include "tests/tiny_run.h"
#include "tests/training_outcome.h"

namespace ingot {
namespace {

constexpr std::int64_t kMicroBatches = 6;  // of a step, over all ranks

RunConfig config_of(const TinyRun& run, int ranks, std::vector<std::string> overrides = {}) {
  overrides.push_back("batch.micro_batch=2");
  RunConfig config = run.config("run", overrides);
  config.batch.tokens_per_step = kMicroBatches * 2 * config.data.sequence_length;
  config.parallel.data = ranks;
  return config;
}

// What every rank of so many sees.
std::vector<Outcome> outcomes_of(const RunConfig& config, ThreadRanks& world) {
  const auto ranks = static_cast<int>(config.parallel.data_ranks());
  std::vector<Outcome> outcomes(ranks);
  std::vector<std::exception_ptr> failures(ranks);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        cpu::CpuBackend backend(1, cpu::all_cpu_kernels(), cpu::isa(), &world.rank(rank));
        TrainingProgram compiled = compile_training(config, {.batch = 2});
        TrainingEngine engine(planned_as(std::move(compiled), backend), backend, config, rank);
        outcomes[rank] = outcome_of(engine, kMicroBatches / ranks, ranks, rank);
      } catch (...) {
        failures[rank] = std::current_exception();
        world.leave(rank);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return outcomes;
}

std::vector<Outcome> outcomes_of(const RunConfig& config, std::uint64_t delays = 0) {
  ThreadRanks world(static_cast<int>(config.parallel.data_ranks()), delays);
  return outcomes_of(config, world);
}

// The largest difference of f32 numbers, relative to the largest of them.
double difference(const std::string& a, const std::string& b) {
  double most = 0, largest = 0;
  for (std::size_t i = 0; i + 4 <= a.size(); i += 4) {
    float x, y;
    std::memcpy(&x, a.data() + i, 4);
    std::memcpy(&y, b.data() + i, 4);
    most = std::max(most, std::fabs(double{x} - double{y}));
    largest = std::max(largest, std::fabs(double{x}));
  }
  return most / largest;
}

class DataParallel : public testing::TestWithParam<const char*> {};

// The order in which gradients are added differs, nothing else.
TEST_P(DataParallel, RanksLearnWhatOneDoesAndAllTheSame) {
  const TinyRun run(GetParam());
  const Outcome one = outcomes_of(config_of(run, 1))[0];
  for (const int ranks : {2, 3}) {
    const std::vector<Outcome> outcomes = outcomes_of(config_of(run, ranks));
    for (const Outcome& outcome : outcomes) EXPECT_TRUE(outcome == outcomes[0]) << ranks;
    ASSERT_EQ(outcomes[0].numbers.size(), one.numbers.size());
    for (std::size_t i = 0; i < one.numbers.size(); ++i) {
      EXPECT_NEAR(outcomes[0].numbers[i], one.numbers[i], 1e-5 * std::fabs(one.numbers[i]))
          << "number " << i << ", ranks " << ranks;
    }
    ASSERT_EQ(outcomes[0].weights.size(), one.weights.size());
    EXPECT_LT(difference(outcomes[0].weights, one.weights), 1e-4) << ranks;
  }
}

TEST_P(DataParallel, BitsDoNotDependOnWhenMessagesArrive) {
  const TinyRun run(GetParam(), "bf16");
  const RunConfig config = config_of(run, 3, {"precision.gradient=bf16"});
  const Outcome expected = outcomes_of(config)[0];
  for (const std::uint64_t delays : {1, 2, 3}) {
    EXPECT_TRUE(outcomes_of(config, delays)[0] == expected) << delays;
  }
}

// Of a tensor of n bytes all but its own part are sent by each of N ranks, and received, twice; the
// report goes to everyone.
TEST_P(DataParallel, SendsWhatTheFormulaSays) {
  const TinyRun run(GetParam());
  const RunConfig config = config_of(run, 3);
  ThreadRanks world(3);
  outcomes_of(config, world);
  std::int64_t summed = 0;
  const TrainingProgram compiled = compile_training(config, {.batch = 2});
  for (const Weight& weight : compiled.program.weights()) {
    if (weight.learning != Learning::gradient) continue;
    summed += compiled.program.info(weight.gradient.values).bytes();
  }
  for (const RouterOutputs& router : compiled.losses.routers) {
    if (router.load) summed += compiled.program.info(router.load).bytes();
  }
  constexpr std::int64_t kSteps = 2, kReport = kReportSlots * 8;
  EXPECT_EQ(world.traffic().bytes, kSteps * (2 * (3 - 1) * summed + 3 * (3 - 1) * kReport));
}

INSTANTIATE_TEST_SUITE_P(Families, DataParallel, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot
