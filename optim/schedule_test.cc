#include "optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "optim/loss_scale.h"
#include "optim/recent_values.h"

namespace ingot {
namespace {

TEST(Schedule, WarmsUpLinearlyAndLearnsFromTheFirstStep) {
  const ScheduleConfig constant{.type = ScheduleType::constant, .warmup_steps = 4, .steps = 10};
  EXPECT_DOUBLE_EQ(learning_rate(constant, 8, 0), 2);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 8, 3), 8);
  EXPECT_DOUBLE_EQ(learning_rate(constant, 8, 9), 8);
}

TEST(Schedule, FallsToItsFinalRatioAndStaysThere) {
  for (const ScheduleType type : {ScheduleType::linear, ScheduleType::cosine, ScheduleType::wsd}) {
    const ScheduleConfig schedule{
        .type = type, .warmup_steps = 0, .steps = 100, .final_ratio = 0.1};
    EXPECT_DOUBLE_EQ(learning_rate(schedule, 1, 0), 1);
    EXPECT_NEAR(learning_rate(schedule, 1, 100), 0.1, 1e-12);
    EXPECT_NEAR(learning_rate(schedule, 1, 150), 0.1, 1e-12);
    for (int step = 1; step < 100; ++step) {
      EXPECT_LE(learning_rate(schedule, 1, step), learning_rate(schedule, 1, step - 1));
    }
  }
  const ScheduleConfig cosine{
      .type = ScheduleType::cosine, .warmup_steps = 0, .steps = 100, .final_ratio = 0};
  EXPECT_NEAR(learning_rate(cosine, 1, 50), 0.5, 1e-12);
}

TEST(Schedule, WsdHoldsItsPeakUntilTheDecay) {
  const ScheduleConfig wsd{.type = ScheduleType::wsd,
                           .warmup_steps = 0,
                           .steps = 100,
                           .final_ratio = 0,
                           .decay_fraction = 0.2};
  EXPECT_DOUBLE_EQ(learning_rate(wsd, 1, 79), 1);
  EXPECT_NEAR(learning_rate(wsd, 1, 90), 0.5, 1e-12);
}

TEST(Schedule, MultiStepIsDeepSeekLlms) {  // arXiv 2401.02954, section 2.3
  const ScheduleConfig multi{
      .type = ScheduleType::multi_step, .warmup_steps = 2000, .steps = 100000};
  EXPECT_DOUBLE_EQ(learning_rate(multi, 4.2e-4, 2000), 4.2e-4);
  EXPECT_DOUBLE_EQ(learning_rate(multi, 4.2e-4, 79999), 4.2e-4);
  EXPECT_DOUBLE_EQ(learning_rate(multi, 4.2e-4, 80000), 4.2e-4 * 0.316);
  EXPECT_DOUBLE_EQ(learning_rate(multi, 4.2e-4, 90000), 4.2e-4 * 0.1);
}

TEST(LossScale, HalvesOnOverflowDoublesAfterAThousandGoodStepsAndKeepsItsBounds) {
  LossScale scale(/*dynamic=*/true);
  EXPECT_EQ(scale.value(), 65536);
  for (int i = 0; i < 999; ++i) scale.update(false);
  EXPECT_EQ(scale.value(), 65536);
  scale.update(false);
  EXPECT_EQ(scale.value(), 131072);
  for (int i = 0; i < 40; ++i) scale.update(true);
  EXPECT_EQ(scale.value(), 1);
  EXPECT_TRUE(scale.at_minimum());
  LossScale resumed(true);
  for (int i = 0; i < 500; ++i) scale.update(false);
  resumed.restore(scale.state());
  for (int i = 0; i < 500; ++i) resumed.update(false);
  EXPECT_EQ(resumed.value(), 2);
  LossScale fixed(false, 8);
  fixed.update(true);
  EXPECT_EQ(fixed.value(), 8);
}

TEST(RecentValues, ScoresAgainstTheWindowAndNeverLetsANanPass) {
  RecentValues values(20);
  EXPECT_EQ(values.z_score(100), 0);
  EXPECT_TRUE(std::isinf(values.limit(3)));
  EXPECT_TRUE(std::isinf(values.z_score(NAN)));
  for (int i = 0; i < 100; ++i) values.add(i % 2 == 0 ? 9 : 11);  // mean 10, deviation 1
  values.add(NAN);
  EXPECT_NEAR(values.z_score(13), 3, 1e-12);
  EXPECT_NEAR(values.limit(2), 12, 1e-12);
  EXPECT_FALSE(NAN <= values.limit(2));
  RecentValues resumed(20);
  resumed.restore(values.state());
  for (const double next : {10.5, 12.0, 8.0}) {
    values.add(next);
    resumed.add(next);
  }
  EXPECT_EQ(values.state(), resumed.state());
  EXPECT_EQ(values.limit(3), resumed.limit(3));  // to the bit, wherever the ring begins
}

TEST(RecentValues, JudgeWithHalfTheWindowAndTwentyAtLeast) {
  for (const auto& [window, enough] : {std::pair{10, 20}, {30, 20}, {50, 25}, {200, 100}}) {
    RecentValues values(window);
    for (int i = 0; i < enough - 1; ++i) values.add(i % 3);
    EXPECT_TRUE(std::isinf(values.limit(1))) << window;
    values.add(1);
    EXPECT_TRUE(std::isfinite(values.limit(1))) << window;
  }
}

}  // namespace
}  // namespace ingot
