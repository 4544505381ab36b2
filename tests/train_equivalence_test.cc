// Where a tensor lies in memory, what the memory held before, how many threads compute and how a
// step is cut into micro-steps must not be seen in the numbers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>

#include "engine/base/align.h"
#include "memory/plan.h"
#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/poison.h"
#include "tests/tiny_run.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

struct Options {
  int threads = 2;
  bool reuse = true;      // false: every tensor has a place of its own
  bool poisoned = false;  // dead memory is filled with NaN
};

// Losses and norms of three steps, and gradients before the first update, as raw bytes.
struct Outcome {
  std::vector<double> numbers;
  std::string gradients, weights;
  std::string first_gradients;  // of the first step
  bool operator==(const Outcome&) const = default;
};

std::string bytes_of(const Executor& executor, Tensor t) {
  std::string bytes(executor.program().info(t).bytes(), '\0');
  executor.read(t, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string all_of(const Executor& executor, WeightState Weight::*which) {
  std::string bytes;
  for (const Weight& weight : executor.program().weights()) {
    if (weight.*which) bytes += bytes_of(executor, (weight.*which).values);
  }
  return bytes;
}

std::unique_ptr<TrainingEngine> make_engine(const RunConfig& config, Backend& backend,
                                            bool reuse = true) {
  PlannedTraining plan = plan_training(config, backend);
  if (!reuse) plan.memory = plan_memory(plan.compiled->program, *plan.bound, {}, /*reuse=*/false);
  EXPECT_EQ(plan.memory.offload_bytes() > 0, config.memory.offload > OffloadPolicy::none);
  auto engine = std::make_unique<TrainingEngine>(std::move(plan), backend, config);
  initialize_weights(engine->executor(), 1, 1);
  engine->settings().learning_rate = 1e-2;
  engine->settings().mtp_weight = 0.3;
  engine->settings().balance_weight = 0.01;
  engine->settings().bias_update_rate = 0.001;
  return engine;
}

// tokens [micro_batch * sequence] of a micro-step, and what follows each.
struct Batch {
  std::vector<std::int32_t> tokens, targets;
};
Batch batch_of(std::int64_t sequences, std::uint64_t seed) {
  constexpr std::int64_t kSequence = 16;
  Batch batch;
  batch.tokens.resize(sequences * kSequence);
  batch.targets.resize(sequences * kSequence);
  for (std::int64_t i = 0; i < sequences; ++i) {
    learnable_batch(seed + i, std::span(batch.tokens).subspan(i * kSequence, kSequence),
                    std::span(batch.targets).subspan(i * kSequence, kSequence));
  }
  return batch;
}

Outcome outcome_of(const RunConfig& config, const Options& options) {
  cpu::CpuBackend backend = tiny_backend(options.threads);
  const auto engine = make_engine(config, backend, options.reuse);
  Poison poison(engine->executor());
  if (options.poisoned) engine->executor().set_observer(&poison);
  Outcome outcome;
  for (std::int64_t step = 0; step < 3; ++step) {
    engine->begin_step(2);
    for (std::int64_t micro = 0; micro < 2; ++micro) {
      const Batch batch = batch_of(2, 100 * step + 10 * micro);
      engine->micro_step(batch.tokens, batch.targets);
      const auto losses = engine->losses();
      outcome.numbers.insert(outcome.numbers.end(),
                             {losses.main.loss, losses.mtp.loss, losses.balance});
    }
    outcome.gradients += all_of(engine->executor(), &Weight::gradient);
    if (step == 0) outcome.first_gradients = outcome.gradients;
    outcome.numbers.push_back(engine->finish_step().grad_norm);
    const Batch held_back = batch_of(2, 7);
    outcome.numbers.push_back(engine->evaluate(held_back.tokens, held_back.targets).loss);
  }
  outcome.weights = all_of(engine->executor(), &Weight::value);
  EXPECT_EQ(poison.filled() > 0, options.poisoned);
  for (const double number : outcome.numbers) EXPECT_TRUE(std::isfinite(number));
  return outcome;
}

// |a - b| / |b| of two arrays of floats.
double relative_distance(const std::string& a, const std::string& b) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i + sizeof(float) <= b.size(); i += sizeof(float)) {
    float x, y;
    std::memcpy(&x, a.data() + i, sizeof x);
    std::memcpy(&y, b.data() + i, sizeof y);
    difference += (double{x} - y) * (double{x} - y);
    norm += double{y} * y;
  }
  return std::sqrt(difference / norm);
}

std::vector<std::pair<const char*, const char*>> every_family_and_type() {
  std::vector<std::pair<const char*, const char*>> all;
  for (const char* family : kFamilies) {
    for (const char* compute : {"fp32", "bf16", "fp16"}) all.emplace_back(family, compute);
  }
  return all;
}

// Every tensor between two stretches of a pattern, which no op may touch.
TEST(Guards, NoOpWritesOutsideItsTensors) {
  constexpr std::int64_t kGuard = 4096, kAlignment = 256;
  for (const auto& [family, compute] : every_family_and_type()) {
    SCOPED_TRACE(std::string(family) + " " + compute);
    const TinyRun run(family, compute);
    const RunConfig config = run.config("run");
    cpu::CpuBackend backend = tiny_backend(2);
    PlannedTraining plan = plan_training(config, backend);
    Placement& placement = plan.memory.placement;
    std::int64_t end = kGuard;
    std::vector<std::int64_t> guards;  // where each tensor and each workspace ends
    const auto place = [&](std::int64_t bytes) {
      const std::int64_t offset = end;
      guards.push_back(offset + bytes);
      end = align_up(offset + bytes, kAlignment) + kGuard;
      return offset;
    };
    for (std::size_t id = 0; id < placement.offsets.size(); ++id) {
      placement.offsets[id] = place(plan.bound->bytes(static_cast<int>(id)));
    }
    for (std::size_t op = 0; op < placement.workspaces.size(); ++op) {
      placement.workspaces[op] = place(plan.bound->workspace_bytes(op));
    }
    placement.bytes[static_cast<int>(Place::arena)] = end;
    const std::int64_t first = placement.offsets[0];
    TrainingEngine engine(std::move(plan), backend, config);
    Executor& executor = engine.executor();
    const Program& program = executor.program();
    std::byte* const arena = executor.host(program.whole(0)) - first;
    const auto guard = [&](std::size_t i) { return std::span(arena + guards[i], kGuard); };
    for (std::size_t i = 0; i < guards.size(); ++i) std::ranges::fill(guard(i), std::byte{0xA5});
    initialize_weights(executor, 1, 1);
    engine.settings().learning_rate = 1e-2;
    engine.settings().mtp_weight = 0.3;
    for (int step = 0; step < 2; ++step) {
      engine.step(2, [&](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
        const Batch batch = batch_of(2, step);
        std::ranges::copy(batch.tokens, tokens.begin());
        std::ranges::copy(batch.targets, targets.begin());
      });
    }
    const Batch batch = batch_of(2, 3);
    engine.evaluate(batch.tokens, batch.targets);
    const std::size_t tensors = program.tensors().size();
    for (std::size_t i = 0; i < guards.size(); ++i) {
      EXPECT_TRUE(std::ranges::all_of(guard(i), [](std::byte b) { return b == std::byte{0xA5}; }))
          << "behind "
          << (i < tensors ? program.tensors()[i].name
                          : describe(program, program.ops()[i - tensors]));
    }
  }
}

class Equivalence : public testing::TestWithParam<std::pair<const char*, const char*>> {
 protected:
  RunConfig config(const std::string& activations = "keep",
                   const std::string& offload = "none") const {
    const TinyRun run(GetParam().first, GetParam().second);
    return run.config("run", {"memory.activations=" + activations, "memory.offload=" + offload,
                              "memory.offload_directory=."});
  }
};

TEST_P(Equivalence, APackedArenaAndOneWithoutReuseGiveTheSameBits) {
  const RunConfig config = this->config();
  EXPECT_EQ(outcome_of(config, {}), outcome_of(config, {.reuse = false}));
}

TEST_P(Equivalence, AnyNumberOfThreadsGivesTheSameBits) {
  const RunConfig config = this->config();
  const Outcome one = outcome_of(config, {.threads = 1});
  for (const int threads : {2, 3}) EXPECT_EQ(outcome_of(config, {.threads = threads}), one);
}

TEST_P(Equivalence, PoisonInDeadMemoryIsNeverRead) {
  const RunConfig config = this->config();
  EXPECT_EQ(outcome_of(config, {.poisoned = true}), outcome_of(config, {}));
}

TEST_P(Equivalence, ActivationsComputedAgainGiveTheSameBits) {
  EXPECT_EQ(outcome_of(config("recompute"), {}), outcome_of(config(), {}));
}

// In a file in the current folder: the temporary one may lie in memory, which is refused.
TEST_P(Equivalence, OffloadedTensorsGiveTheSameBits) {
  const Outcome here = outcome_of(config(), {});
  for (const char* set : {"states", "masters", "all"}) {
    const RunConfig config = this->config("keep", set);
    EXPECT_EQ(outcome_of(config, {.poisoned = true}), here) << set;
  }
  EXPECT_EQ(outcome_of(config("recompute", "all"), {.threads = 3}), here);
}

TEST_P(Equivalence, CompressedActivationsDependOnNeitherPlacesNorThreadsNorDeadMemory) {
  for (const char* level : {"int8", "compact"}) {
    const RunConfig config = this->config(level);
    const Outcome outcome = outcome_of(config, {});
    EXPECT_EQ(outcome_of(config, {.threads = 3, .reuse = false}), outcome);
    EXPECT_EQ(outcome_of(config, {.poisoned = true}), outcome);
  }
}

TEST_P(Equivalence, RecomputationReadsNoDeadMemory) {
  const RunConfig config = this->config("recompute");
  EXPECT_EQ(outcome_of(config, {.threads = 3, .poisoned = true}), outcome_of(config, {}));
}

// Forward is exact; a gradient's error is that of 8-bit codes (memory.md A1: under 1 % of each
// tensor's norm, twice that where two of them multiply).
TEST_P(Equivalence, CompressedActivationsChangeGradientsByTheirRounding) {
  const Outcome exact = outcome_of(config(), {}), rounded = outcome_of(config("int8"), {});
  EXPECT_EQ(rounded.numbers[0], exact.numbers[0]) << "the first loss";
  const double distance = relative_distance(rounded.first_gradients, exact.first_gradients);
  EXPECT_GT(distance, 0);
  EXPECT_LT(distance, 0.02);
}

INSTANTIATE_TEST_SUITE_P(Runs, Equivalence, testing::ValuesIn(every_family_and_type()),
                         [](const auto& info) {
                           return std::string(info.param.first) + "_" + info.param.second;
                         });

class Accumulation : public testing::TestWithParam<const char*> {};

// The sums run in another order: a few roundings of fp32 apart, relative to each tensor's largest
// element. Routers are equal: a token's row does not depend on the rows beside it.
TEST_P(Accumulation, OfSingleSequencesIsOneStepOfAllOfThem) {
  const TinyRun run(GetParam(), "fp32");
  constexpr std::int64_t kSequences = 4;
  cpu::CpuBackend backend = tiny_backend(2);
  const Batch all = batch_of(kSequences, 50);
  struct Result {
    double main = 0, mtp = 0, balance = 0;
    std::vector<std::vector<float>> gradients;
  };
  const auto result_of = [&](std::int64_t micro_batch) {
    const RunConfig config =
        run.config("run", {"batch.micro_batch=" + std::to_string(micro_batch)});
    const auto engine = make_engine(config, backend);
    const std::int64_t micro_steps = kSequences / micro_batch;
    engine->begin_step(micro_steps);
    Result result;
    for (std::int64_t micro = 0; micro < micro_steps; ++micro) {
      const std::size_t count = engine->tokens_per_micro_step();
      engine->micro_step(std::span(all.tokens).subspan(micro * count, count),
                         std::span(all.targets).subspan(micro * count, count));
      const auto losses = engine->losses();
      result.main += losses.main.loss;
      result.mtp += losses.mtp.loss;
      result.balance += losses.balance / static_cast<double>(micro_steps);
    }
    for (const Weight& weight : engine->executor().program().weights()) {
      if (!weight.gradient) continue;
      const std::string bytes = bytes_of(engine->executor(), weight.gradient.values);
      std::vector<float> values(bytes.size() / sizeof(float));
      std::memcpy(values.data(), bytes.data(), bytes.size());
      result.gradients.push_back(std::move(values));
    }
    return result;
  };
  const Result whole = result_of(kSequences);
  for (const std::int64_t micro_batch : {1, 2}) {
    const Result parts = result_of(micro_batch);
    EXPECT_NEAR(parts.main, whole.main, 1e-6 * whole.main);
    EXPECT_NEAR(parts.mtp, whole.mtp, 1e-6 * whole.mtp + 1e-12);
    EXPECT_NEAR(parts.balance, whole.balance, 1e-6 * whole.balance + 1e-12);
    for (std::size_t i = 0; i < whole.gradients.size(); ++i) {
      double largest = 0, difference = 0;
      for (std::size_t k = 0; k < whole.gradients[i].size(); ++k) {
        largest = std::max(largest, std::fabs(double{whole.gradients[i][k]}));
        difference =
            std::max(difference, std::fabs(double{whole.gradients[i][k]} - parts.gradients[i][k]));
      }
      EXPECT_GT(largest, 0) << i;
      EXPECT_LE(difference, 5e-6 * largest) << "weight " << i << ", micro-batch " << micro_batch;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, Accumulation, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot
