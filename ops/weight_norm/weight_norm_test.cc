#include "ops/weight_norm/weight_norm.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "ops/testing/op_check.h"
#include "ops/weight_norm/weight_norm_cpu.h"

namespace ingot {
namespace {

struct Result {
  double norm, scale, skipped;
};

// Of a gradient of 100 equal elements, with clipping at 1 and a loss scale of 4.
Result of_gradient(float element, double previous_norm) {
  OpCheck check(DType::f32, cpu::weight_norm_cpu_kernels());
  check.program().begin(Part::micro_step);
  const Tensor gradient = check.constants("g", {100}, std::vector<float>(100, element));
  const WeightNorm norm = weight_norm(check.program(), gradient, /*clip_norm=*/1);
  const std::array<double, kProgressCount> progress{7, previous_norm, 0};
  check.bytes_of(check.program().progress(), std::as_bytes(std::span(progress)));
  check.result(norm.scale);
  check.state().loss_scale = 4;
  check.run();
  return {check.value(norm.norm)[0], check.value(norm.scale)[0], check.value(norm.skipped)[0]};
}

TEST(WeightNorm, ClipsByTheStepBefore) {
  const Result result = of_gradient(0.04f, 5);  // of length 0.4 with the loss scale, 0.1 without
  EXPECT_NEAR(result.norm, 0.1, 1e-6);
  EXPECT_NEAR(result.scale, 0.25 / 5, 1e-6);
  EXPECT_EQ(result.skipped, 0);
}

TEST(WeightNorm, ClipsASpikeInTheStepThatBringsIt) {
  for (const double previous : {0.0, 1.0}) {
    const Result result = of_gradient(400, previous);  // of length 1000 without the loss scale
    EXPECT_NEAR(result.norm * result.scale * 4, 1, 1e-5) << "after a norm of " << previous;
  }
}

TEST(WeightNorm, LeavesShortGradientsAlone) {
  EXPECT_NEAR(of_gradient(0.04f, 0.5).scale, 0.25, 1e-6);
  EXPECT_NEAR(of_gradient(0.04f, 0).scale, 0.25, 1e-6);
}

TEST(WeightNorm, SaysThatAWeightIsSkippedWhereItsGradientIsNotFinite) {
  EXPECT_EQ(of_gradient(NAN, 1).skipped, 1);
  EXPECT_EQ(of_gradient(HUGE_VALF, 1).skipped, 1);
}

}  // namespace
}  // namespace ingot
