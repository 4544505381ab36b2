// How many tokens experts get, and the selection bias that follows from it.
#include <gtest/gtest.h>

#include "ops/router/router.h"
#include "ops/router/router_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

TEST(Router, LoadsAddUpOverMicroStepsWithoutPadding) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor x = check.leaf("logits", {3, 4}, {9, 8, 0, 0, 9, 0, 8, 0, 0, 0, 8, 9}, DType::f32);
  const Tensor ids = check.integers("ids", {3}, {5, -1, 0});
  const Tensor load = check.integers("load", {4}, {0, 0, 0, 100});
  check.result(route(check.program(), x, {}, ids, load,
                     {.experts = 4, .experts_per_token = 2, .batch = 1, .sequence = 3})
                   .weights);
  check.run();
  check.run_again();
  EXPECT_EQ(check.value(load), (std::vector<double>{2, 2, 2, 102}));
}

TEST(Router, EvaluationCountsNothing) {
  Program program;
  const Tensor x = program.persistent("logits", {6, 4}, DType::f32, Role::input);
  const Tensor load = program.persistent("load", {4}, DType::i32, Role::optimizer_state);
  const RouterOptions options{.experts = 4, .batch = 2, .sequence = 3};
  route(program, x, {}, {}, load, options);
  EXPECT_EQ(program.ops().back().outputs[5], load);
  program.begin(Part::evaluation);
  route(program, x, {}, {}, load, options);
  EXPECT_FALSE(program.ops().back().outputs[5]);
  EXPECT_FALSE(program.ops().back().attributes.flag("count"));
}

TEST(BiasUpdate, MovesTowardsTheMeanAndResetsTheLoad) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor bias = check.constants("bias", {4}, {0.5f, 0, 0, 0});
  const Tensor load = check.integers("load", {4}, {10, 6, 7, 5});  // mean 7
  const Tensor skip = check.constants("skip", {1}, {0});
  const Tensor ratio = bias_update(check.program(), bias, load, skip);
  check.set_slot(step_slot::kBiasRate, 0.125);
  check.run();
  EXPECT_EQ(check.value(bias), (std::vector<double>{0.375, 0.125, 0, 0.125}));
  EXPECT_EQ(check.value(load), (std::vector<double>{0, 0, 0, 0}));
  EXPECT_NEAR(check.value(ratio)[0], 10.0 / 7, 1e-6);
  check.run_again();  // nothing routed: nothing moves
  EXPECT_EQ(check.value(bias), (std::vector<double>{0.375, 0.125, 0, 0.125}));
  EXPECT_EQ(check.value(ratio)[0], 0.0);
}

TEST(BiasUpdate, SkippedStepKeepsTheBiasButResetsTheLoad) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor bias = check.constants("bias", {2}, {0.5f, 0});
  const Tensor load = check.integers("load", {2}, {1, 3});
  const Tensor skip = check.constants("skip", {1}, {1});
  const Tensor ratio = bias_update(check.program(), bias, load, skip);
  check.set_slot(step_slot::kBiasRate, 0.125);
  check.run();
  EXPECT_EQ(check.value(bias), (std::vector<double>{0.5, 0}));
  EXPECT_EQ(check.value(load), (std::vector<double>{0, 0}));
  EXPECT_EQ(check.value(ratio)[0], 1.5);
}

TEST(BiasUpdate, CountsLoadsOfBillionsExactly) {
  OpCheck check(DType::f32, cpu::router_cpu_kernels());
  const Tensor bias = check.constants("bias", {3}, {0, 0, 0});
  const Tensor load = check.integers("load", {3}, {2000000000, 2000000001, 2000000002});
  bias_update(check.program(), bias, load, {});
  check.set_slot(step_slot::kBiasRate, 1);
  check.run();
  EXPECT_EQ(check.value(bias), (std::vector<double>{1, 0, -1}));
}

}  // namespace
}  // namespace ingot
