// Numbers that are not finite, and spikes: what a run does about them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/execution/nonfinite_hunt.h"
#include "planning/planner.h"
#include "tests/tiny_run.h"
#include "training/steps/trainer_state.h"
#include "weights/checkpoint.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

// As text, without what the run's own log says of the step.
std::map<std::string, std::string> weights_of(const std::filesystem::path& checkpoint) {
  auto contents = checkpoint_contents(checkpoint);
  contents.erase("trainer");
  return contents;
}

TrainerState state_of(const std::filesystem::path& checkpoint) {
  return load_trainer_state(CheckpointReader::open(checkpoint)).value();
}

// Weights of a standard deviation of 1 make gradients that 65536 times their size do not fit fp16.
TEST(DynamicLossScale, AnOverflowSkipsTheUpdateHalvesTheScaleAndTheRunGoesOn) {
  const TinyRun run("llama", "fp16");
  std::string model = contents_of(run.folder() / "model.json");
  model.replace(model.find("\"initializer_range\": 0.05"), 25, "\"initializer_range\": 1.0 ");
  put_file(run.folder() / "model.json", model);
  ASSERT_EQ(run.train("run", {"schedule.steps=16"}), 0);

  const std::vector<double> scales = metric(run.directory("run"), "loss_scale");
  const std::vector<double> norms = metric(run.directory("run"), "grad_norm");
  ASSERT_EQ(scales.size(), 16u);
  EXPECT_EQ(scales.front(), 65536);
  int overflows = 0;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const bool overflowed = std::isnan(norms[i]);  // null in the log
    overflows += overflowed;
    if (i + 1 < scales.size()) {
      EXPECT_EQ(scales[i + 1], overflowed ? scales[i] / 2 : scales[i]) << i;
    }
    const auto before = run.directory("run") / checkpoint_name(static_cast<std::int64_t>(i));
    const auto after = run.directory("run") / checkpoint_name(static_cast<std::int64_t>(i) + 1);
    if (i > 0) {
      EXPECT_EQ(weights_of(after) == weights_of(before), overflowed) << i;
    }
  }
  EXPECT_GE(overflows, 1);
  EXPECT_LE(overflows, 10);
  const TrainerState state = state_of(run.directory("run") / checkpoint_name(16));
  EXPECT_EQ(state.updates, 16 - overflows);
  EXPECT_EQ(state.loss_scale.good_steps, [&] {
    std::int64_t good = 0;
    for (const double norm : norms) good = std::isnan(norm) ? 0 : good + 1;
    return good;
  }());
}

TEST(FixedLossScale, IsDividedOutAgain) {
  const TinyRun run("deepseek_v3", "fp16");
  ASSERT_EQ(run.train("small", {"precision.loss_scale=64"}), 0);
  ASSERT_EQ(run.train("large", {"precision.loss_scale=1024"}), 0);
  const auto small = metric(run.directory("small"), "loss");
  const auto large = metric(run.directory("large"), "loss");
  ASSERT_EQ(small.size(), large.size());
  // Powers of two: only what falls below fp16's range differs.
  for (std::size_t i = 0; i < small.size(); ++i) EXPECT_NEAR(small[i], large[i], 2e-2) << i;
}

// Trains at a constant rate that run.json would not take.
int train_at(double learning_rate, const TinyRun& run, std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), {"schedule.type=constant", "schedule.warmup_steps=0"});
  RunConfig config = run.config("run", overrides);
  config.optimizer.learning_rate = learning_rate;
  cpu::CpuBackend backend = tiny_backend(2);
  return train(config, {.threads = 2, .quiet = true}, backend, 0);
}

class Divergence : public testing::TestWithParam<const char*> {};

// The first update with this rate throws every weight to where squares are infinite: the norms then
// give zeros and the loss is finite, but there is no gradient.
TEST_P(Divergence, ManyStepsInARowEndTheRunAndNameTheFirstOpAndTensor) {
  const TinyRun run(GetParam(), "fp32");
  expect_error(
      ErrorCode::diverged,
      [&] {
        train_at(1e30, run, {"nonfinite_limit=3", "checkpoint.every=100", "log.validate_every=0"});
      },
      "not finite for 3 steps in a row, first in ", "norm (rms_norm_backward, backward), tensor '",
      "element ", "(step 4)");
  const auto losses = metric(run.directory("run"), "loss");
  ASSERT_EQ(losses.size(), 4u);  // the first was good
  EXPECT_TRUE(std::isfinite(losses[0]));
  const auto norms = metric(run.directory("run"), "grad_norm");
  for (int i = 1; i < 4; ++i) EXPECT_FALSE(std::isfinite(norms[i]));
  EXPECT_TRUE(CheckpointReader::list(run.directory("run")).empty());
}

TEST_P(Divergence, NaNNeverPassesTheUpdateNorTheSpikeTest) {
  const TinyRun run(GetParam(), "fp32");
  ASSERT_EQ(train_at(1e18, run, {"nonfinite_limit=100", "spike.z_score=3", "schedule.steps=6"}), 0);
  const auto first = weights_of(run.directory("run") / checkpoint_name(1));
  EXPECT_EQ(weights_of(run.directory("run") / checkpoint_name(6)), first);
  const TrainerState state = state_of(run.directory("run") / checkpoint_name(6));
  EXPECT_EQ(state.updates, 1);
  EXPECT_EQ(state.recent_losses.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Families, Divergence, testing::Values("llama", "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

// Poisons one element of a weight and lets the hunt find where it comes to light first.
std::string first_bad_op(const std::string& family, const std::string& weight_name, float poison) {
  const TinyRun run(family);
  cpu::CpuBackend backend = tiny_backend(2);
  const RunConfig config = run.config("run");
  TrainingEngine engine(plan_training(config, backend), backend, config);
  Executor& executor = engine.executor();
  initialize_weights(executor, 1, 1);
  const Tensor weight = executor.program().find(weight_name);
  EXPECT_TRUE(weight);
  std::memcpy(executor.host(weight) + 4 * 7, &poison, sizeof poison);
  NonfiniteHunt hunt(executor);
  executor.set_observer(&hunt);
  const StepReport report = engine.step(2, [](auto tokens, auto targets) {
    for (std::size_t i = 0; i < tokens.size(); ++i) targets[i] = tokens[i] = i % 64;
  });
  EXPECT_EQ(report.skipped, !std::isfinite(poison));
  return hunt.found();
}

TEST(Hunt, NamesTheOpTheTensorAndTheElement) {
  EXPECT_EQ(first_bad_op("llama", "layers.1.mlp.down_proj", NAN),
            "layers.1.mlp.down_proj (linear, forward), tensor 'layers.1.mlp.y', element 0: nan");
  EXPECT_EQ(first_bad_op("llama", "layers.0.input_layernorm", INFINITY),
            "layers.0.input_layernorm (rms_norm, forward), tensor 'layers.0.norm', element 7: "
            "infinite");
}

TEST(Hunt, FindsNothingInAHealthyStep) {
  EXPECT_EQ(first_bad_op("deepseek_v3", "layers.1.input_layernorm", 0.0f), "");
}

std::int64_t times(const std::string& what, const std::string& in) {
  std::int64_t count = 0;
  for (std::size_t at = in.find(what); at != in.npos; at = in.find(what, at + 1)) ++count;
  return count;
}

// A limit so narrow that ordinary noise is a spike.
TEST(Spike, IsSkippedEntersTheWindowAndLeavesWeightsAndMomentsAlone) {
  const TinyRun run("deepseek_v3", "fp32");
  const std::vector<std::string> overrides = {"spike.z_score=0.5", "spike.window=20",
                                              "schedule.steps=40", "schedule.type=constant",
                                              "optimizer.learning_rate=1e-4"};
  testing::internal::CaptureStdout();
  ASSERT_EQ(run.train("run", overrides, {.threads = 2}), 0);
  const std::string said = testing::internal::GetCapturedStdout();
  std::int64_t skipped = 0;
  for (std::int64_t step = 2; step <= 40; ++step) {
    const auto before = run.directory("run") / checkpoint_name(step - 1);
    const auto after = run.directory("run") / checkpoint_name(step);
    const bool passed = state_of(after).updates > state_of(before).updates;
    EXPECT_EQ(weights_of(after) == weights_of(before), !passed) << step;
    EXPECT_EQ(state_of(after).recent_losses.size(), std::min<std::size_t>(step, 20));
    skipped += !passed;
  }
  EXPECT_GT(skipped, 0);
  EXPECT_LT(skipped, 20);  // the first twenty only fill the window
  EXPECT_EQ(times("skipped: spike", said), skipped);
  EXPECT_EQ(times(std::to_string(skipped) + " of 40 updates were skipped: ", said), 1);
}

TEST(Spike, ManyInARowEndTheRunWithWhatItHasSaved) {
  const TinyRun run;
  // Nothing is below the mean by a thousandth of a deviation for long.
  const std::vector<std::string> overrides = {"spike.z_score=0.001", "spike.window=20",
                                              "spike.limit=2",       "schedule.steps=200",
                                              "checkpoint.every=0",  "log.validate_every=0"};
  expect_error(
      ErrorCode::diverged, [&] { run.train("run", overrides); },
      "a spike for 2 steps in a row, which were skipped; saved", "spike.limit");
  const auto saved = CheckpointReader::list(run.directory("run"));
  ASSERT_EQ(saved.size(), 1u);
  const TrainerState state = state_of(run.directory("run") / saved.front());
  EXPECT_EQ(state.skips.spikes_in_a_row, 2);
  EXPECT_EQ(state.step - state.updates, state.skips.spikes);
}

// One step whose loss stands out while its gradient is ordinary must be skipped as well.
TEST(Spike, OfTheLossAloneIsSkipped) {
  const TinyRun run;
  cpu::CpuBackend backend = tiny_backend(1);
  const RunConfig config = run.config("run");
  TrainingEngine engine(plan_training(config, backend), backend, config);
  const auto batch = [](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
    std::fill(tokens.begin(), tokens.end(), 3);
    std::fill(targets.begin(), targets.end(), 4);
  };
  const StepReport report = engine.step(2, batch);
  EXPECT_FALSE(report.skipped);
  engine.settings().loss_limit = report.loss - 0.01;
  EXPECT_TRUE(engine.step(2, batch).skipped);
  engine.settings().loss_limit = report.loss + 0.01;
  EXPECT_FALSE(engine.step(2, batch).skipped);
}

TEST(Spike, AnInfiniteWeightIsNeverSaved) {
  const TinyRun run;
  expect_error(
      ErrorCode::diverged, [&] { train_at(1e39, run, {}); }, "checkpoint not saved", "not finite");
  EXPECT_TRUE(CheckpointReader::list(run.directory("run")).empty());
}

}  // namespace
}  // namespace ingot
