#include "ops/combine/combine.h"

#include <gtest/gtest.h>

#include "backends/cpu/join_kernels.h"
#include "ops/combine/combine_cpu.h"
#include "ops/dispatch/dispatch_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<cpu::KernelEntry> kernels() {
  return cpu::join_kernels({cpu::combine_cpu_kernels(), cpu::dispatch_cpu_kernels()});
}

constexpr std::int64_t kTokens = 5, kSlots = 2, kExperts = 4;
// Expert 2 has no token.
const std::vector<std::int32_t> kChosen = {0, 1, 3, 0, 1, 0, 3, 1, 0, 3};
const std::vector<std::int32_t> kRowOf = {0, 4, 7, 1, 5, 2, 8, 6, 3, 9};

std::vector<double> reference(const Leaves& leaves, std::int64_t columns) {
  std::vector<double> y = leaves[1];
  for (std::int64_t pair = 0; pair < kTokens * kSlots; ++pair) {
    for (std::int64_t i = 0; i < columns; ++i) {
      y[pair / kSlots * columns + i] += leaves[0][kRowOf[pair] * columns + i];
    }
  }
  return y;
}

TEST(Combine, AddsRowsToTheResidualAndBackwardMatchesFiniteDifferences) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t columns : {1, 15, 64, 81}) {
        OpCheck check(dtype, kernels(), 2, isa);
        Program& program = check.program();
        const Tensor rows = check.leaf("rows", {kTokens * kSlots, columns});
        const Tensor residual = check.leaf("residual", {kTokens, columns});
        const Dispatch d =
            dispatch(program, check.integers("chosen", {kTokens, kSlots}, kChosen), kExperts);
        check.output(combine(program, rows, d, residual));
        check.run();
        // One rounding of the sum to 8, 11 or 24 significant bits; gradients are copies.
        const double rounding = dtype == DType::bf16  ? 1.0 / 256
                                : dtype == DType::f16 ? 1.0 / 2048
                                                      : 1e-6;
        check.expect_matches([&](const Leaves& leaves) { return reference(leaves, columns); },
                             {.value = rounding, .gradient = 1e-8});
      }
    }
  }
}

TEST(Combine, ResidualSharesTheGradientBuffer) {
  OpCheck check(DType::bf16, kernels());
  Program& program = check.program();
  const Tensor rows = check.leaf("rows", {kTokens * kSlots, 8});
  const Tensor residual = check.leaf("residual", {kTokens, 8});
  const Dispatch d =
      dispatch(program, check.integers("chosen", {kTokens, kSlots}, kChosen), kExperts);
  check.output(combine(program, rows, d, residual));
  check.run();
  int made = 0;
  for (const TensorInfo& info : program.tensors()) {
    made += info.name == "gradient of y" || info.name == "gradient of residual";
  }
  EXPECT_EQ(made, 1);
}

// The way there and back with weights 1 multiplies by the number of slots.
TEST(Combine, UndoesPermute) {
  OpCheck check(DType::f32, kernels());
  Program& program = check.program();
  const Tensor x = check.leaf("x", {kTokens, 9});
  const Tensor nothing = check.constants("nothing", {kTokens, 9}, std::vector<float>(kTokens * 9));
  const Dispatch d =
      dispatch(program, check.integers("chosen", {kTokens, kSlots}, kChosen), kExperts);
  check.output(combine(program, permute(program, x, d), d, nothing));
  check.run();
  check.expect_matches(
      [](const Leaves& leaves) {
        std::vector<double> y = leaves[0];
        for (double& value : y) value *= kSlots;
        return y;
      },
      {.value = 1e-7, .gradient = 1e-7});
}

}  // namespace
}  // namespace ingot
