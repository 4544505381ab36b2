// Which experts are chosen at the edges: ties, negative scores, numbers that are not finite.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "ops/router/router.h"
#include "ops/router/router_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<std::int32_t> chosen_for(std::vector<double> logits, std::vector<float> bias,
                                     const RouterOptions& options) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor x = check.leaf("logits", {1, options.experts}, std::move(logits), DType::f32);
  const Tensor b = bias.empty() ? Tensor{} : check.constants("bias", {options.experts}, bias);
  const Routing routing = route(check.program(), x, b, {}, {}, options);
  check.result(routing.weights);
  check.run();
  const std::vector<double> experts = check.value(routing.experts);
  return {experts.begin(), experts.end()};
}

TEST(Router, TiesGoToTheLowerIndex) {
  const std::vector<double> equal(40, 0.25);
  EXPECT_EQ(chosen_for(equal, {}, {.experts = 40, .experts_per_token = 5}),
            (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(chosen_for(equal, {},
                       {.experts = 40, .experts_per_token = 7, .groups = 10, .kept_groups = 2}),
            (std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6}));
  // The later group is the better one, but its tied expert does not come first.
  EXPECT_EQ(chosen_for({1, 1, 2, 1, 0, 0}, {},
                       {.experts = 6, .experts_per_token = 3, .groups = 3, .kept_groups = 2}),
            (std::vector<std::int32_t>{2, 0, 1}));
}

// Masking with 0 instead of -infinity, as early code did, would select from dropped groups here.
TEST(Router, ExpertsOfDroppedGroupsNeverWinOverNegativeScores) {
  const auto chosen = chosen_for({0, 0, 1, 1, -1, -1}, {-5, -5, -5, -5, -5, -5},
                                 {.experts = 6,
                                  .experts_per_token = 2,
                                  .groups = 3,
                                  .kept_groups = 1,
                                  .score = GateScore::sigmoid,
                                  .group_score = GroupScore::sum_of_top_two});
  EXPECT_EQ(chosen, (std::vector<std::int32_t>{2, 3}));
}

TEST(Router, NonFiniteLogitsSelectDistinctExperts) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, infinity, -infinity}) {
    for (const GateScore score : {GateScore::softmax, GateScore::sigmoid}) {
      const auto chosen = chosen_for(std::vector<double>(20, bad), {},
                                     {.experts = 20,
                                      .experts_per_token = 6,
                                      .groups = 5,
                                      .kept_groups = 2,
                                      .score = score,
                                      .group_score = GroupScore::sum_of_top_two});
      EXPECT_EQ(std::set<std::int32_t>(chosen.begin(), chosen.end()).size(), 6u);
      for (const std::int32_t e : chosen) EXPECT_TRUE(e >= 0 && e < 20) << e;
    }
  }
}

}  // namespace
}  // namespace ingot
