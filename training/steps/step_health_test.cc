#include "training/steps/step_health.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ingot {
namespace {

RunConfig with_spikes(double z_score, std::int64_t window) {
  RunConfig config;
  config.precision.compute = ComputeType::fp32;
  config.spike.z_score = z_score;
  config.spike.window = window;
  return config;
}

// A step of this loss, judged as the device does.
const char* step(StepHealth& health, double loss) {
  StepSettings settings;
  health.prepare(settings);
  return health.judge({.loss = loss, .grad_norm = 1, .skipped = !(loss <= settings.loss_limit)});
}

// What is skipped enters the window: of a window of n values at a new level, more than one in
// z^2 + 1 is no longer z deviations above their mean.
TEST(StepHealth, GetsUsedToANewLevelOfTheLoss) {
  for (const auto& [z_score, window] : {std::pair{6.0, 50}, {3.0, 50}, {3.0, 200}}) {
    StepHealth health(with_spikes(z_score, window));
    for (int i = 0; i < 300; ++i) EXPECT_STREQ(step(health, 0.03 + 0.001 * (i % 5)), "");
    int skipped = 0;
    for (int i = 0; i < 300; ++i) skipped += *step(health, 13.2 + 0.1 * (i % 5)) != 0;
    EXPECT_GE(skipped, 1);
    EXPECT_LE(skipped, window / (z_score * z_score + 1) + 1);
    EXPECT_STREQ(step(health, 13.2), "");
    EXPECT_EQ(health.spikes(), 0);
    const std::string told = std::to_string(skipped) + " of 601 updates were skipped: ";
    EXPECT_TRUE(health.skips_of(601).starts_with(told)) << health.skips_of(601);
  }
}

TEST(StepHealth, CountsSpikesInARowAndOverACheckpoint) {
  RunConfig config = with_spikes(3, 40);
  config.spike.limit = 5;
  StepHealth health(config);
  double loss = 1;
  for (int i = 0; i < 40; ++i) step(health, loss + 0.01 * (i % 3));
  for (int i = 0; i < 4; ++i) EXPECT_STREQ(step(health, loss *= 100), "skipped: spike");
  EXPECT_FALSE(health.too_many_spikes());
  TrainerState state;
  health.save_to(state);
  StepHealth resumed(config);
  resumed.restore(state);
  EXPECT_EQ(resumed.spikes(), 4);
  // A loss that is not finite in between is no update that was applied.
  EXPECT_STREQ(step(resumed, NAN), "skipped: not finite");
  EXPECT_STREQ(step(resumed, loss *= 100), "skipped: spike");
  EXPECT_TRUE(resumed.too_many_spikes());
  EXPECT_EQ(resumed.skips_of(46), "6 of 46 updates were skipped: 5 spikes, 1 not finite");
  resumed.save_to(state);
  StepHealth again(config);
  again.restore(state);
  EXPECT_FALSE(again.too_many_spikes());  // who starts it anew wants it to go on
}

TEST(StepHealth, HasALossScaleWithFp16Only) {
  for (const ComputeType compute : {ComputeType::fp32, ComputeType::bf16, ComputeType::fp16}) {
    RunConfig config;
    config.precision.compute = compute;
    config.precision.loss_scale = 1e30;
    StepSettings settings;
    StepHealth(config).prepare(settings);
    EXPECT_EQ(settings.loss_scale, compute == ComputeType::fp16 ? 1e30f : 1);
  }
}

}  // namespace
}  // namespace ingot
