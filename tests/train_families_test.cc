// Every family learns: the loss on one batch that comes again and again falls to next to nothing,
// that of the multi-token-prediction module too.
#include <gtest/gtest.h>

#include <cmath>

#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/tiny_run.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

class Families : public testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(Families, LearnOneBatchByHeart) {
  const auto [family, compute] = GetParam();
  const TinyRun run(family, compute);
  const RunConfig config = run.config("run", {"batch.micro_batch=4"});
  cpu::CpuBackend backend = tiny_backend(2);
  TrainingEngine engine(plan_training(config, backend), backend, config);
  initialize_weights(engine.executor(), 1, 1);
  StepSettings& state = engine.settings();
  state.learning_rate = 1e-2;
  state.mtp_weight = 0.3;
  state.balance_weight = 1e-4;
  state.bias_update_rate = 1e-3;
  state.loss_scale = std::string(compute) == "fp16" ? 1024 : 1;

  const auto same_batch = [](auto tokens, auto targets) { learnable_batch(9, tokens, targets); };
  StepReport first, last;
  constexpr int kSteps = 80;
  for (int step = 0; step < kSteps; ++step) {
    last = engine.step(1, same_batch);
    if (step == 0) first = last;
    ASSERT_FALSE(last.skipped) << step;
  }
  EXPECT_NEAR(first.loss, std::log(64.0), 0.3);
  EXPECT_LT(last.loss, 0.3);
  if (first.mtp_loss >= 0) {
    EXPECT_NEAR(first.mtp_loss, std::log(64.0), 0.3);
    EXPECT_LT(last.mtp_loss, 0.6);
  }
  EXPECT_EQ(first.mtp_loss >= 0, std::string(family) == "deepseek_v3");
  EXPECT_EQ(first.auxiliary_loss > 0, std::string(family).starts_with("deepseek"));
}

std::vector<std::pair<const char*, const char*>> every_family_and_type() {
  std::vector<std::pair<const char*, const char*>> all;
  for (const char* family : kFamilies) {
    for (const char* compute : {"fp32", "bf16", "fp16"}) all.emplace_back(family, compute);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Runs, Families, testing::ValuesIn(every_family_and_type()),
                         [](const auto& info) {
                           return std::string(info.param.first) + "_" + info.param.second;
                         });

}  // namespace
}  // namespace ingot
