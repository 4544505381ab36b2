#include "ops/grouped_linear/grouped_linear.h"

#include <gtest/gtest.h>

#include "ops/grouped_linear/grouped_linear_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// Inputs are exact, sums are fp32 (some 100 terms), results are rounded once to 8, 11 or 24 bits.
double rounding(DType dtype) {
  return dtype == DType::bf16 ? 1.0 / 256 : dtype == DType::f16 ? 1.0 / 2048 : 4e-6;
}

std::vector<double> reference(const Leaves& leaves, const std::vector<std::int32_t>& offsets,
                              std::int64_t rows, std::int64_t in, std::int64_t out) {
  std::vector<double> y(rows * out);
  for (std::size_t e = 0; e + 1 < offsets.size(); ++e) {
    for (std::int64_t row = offsets[e]; row < offsets[e + 1]; ++row) {
      for (std::int64_t n = 0; n < out; ++n) {
        for (std::int64_t k = 0; k < in; ++k) {
          y[row * out + n] += leaves[0][row * in + k] * leaves[1][(e * out + n) * in + k];
        }
      }
    }
  }
  return y;
}

struct Case {
  std::vector<std::int32_t> offsets;
  std::int64_t rows, in, out;
};

const Case kCases[] = {
    {{0, 1}, 1, 1, 1},             // one expert
    {{0, 0, 5, 5, 9}, 9, 17, 33},  // experts without rows
    {{0, 0, 0, 40}, 40, 16, 8},    // all rows to one expert
    {{0, 3, 10, 20, 21}, 21, 20, 19},
    {{0, 2, 4}, 7, 8, 8},  // rows that are not in use
};

TEST(GroupedLinear, MatchesReferenceAndFiniteDifferences) {
  for (const Case& c : kCases) {
    for (const cpu::Isa isa : cpu::kAllIsas) {
      if (!cpu::supports(isa)) continue;
      for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
        OpCheck check(dtype, cpu::grouped_linear_cpu_kernels(), 2, isa);
        const auto experts = static_cast<std::int64_t>(c.offsets.size()) - 1;
        const Tensor x = check.leaf("x", {c.rows, c.in});
        const Tensor weight = check.weight("weight", {experts, c.out, c.in});
        const Tensor offsets = check.integers("offsets", {experts + 1}, c.offsets);
        check.output(grouped_linear(check.program(), x, weight, offsets));
        check.run();
        check.expect_matches(
            [&](const Leaves& leaves) { return reference(leaves, c.offsets, c.rows, c.in, c.out); },
            {.value = rounding(dtype), .gradient = rounding(dtype)});
      }
    }
  }
}

TEST(GroupedLinear, GradientsOfTwoUsesAdd) {
  const std::vector<std::int32_t> bounds = {0, 4, 4, 6};
  OpCheck check(DType::f32, cpu::grouped_linear_cpu_kernels());
  const Tensor x = check.leaf("x", {6, 12});
  const Tensor weight = check.weight("weight", {3, 5, 12});
  const Tensor offsets = check.integers("offsets", {4}, bounds);
  check.output(grouped_linear(check.program(), x, weight, offsets));
  check.output(grouped_linear(check.program(), x, weight, offsets));
  check.run();
  check.expect_matches(
      [&](const Leaves& leaves) {
        std::vector<double> y = reference(leaves, bounds, 6, 12, 5);
        const std::vector<double> again = y;
        y.insert(y.end(), again.begin(), again.end());
        return y;
      },
      {.value = 4e-6, .gradient = 4e-6});
}

TEST(GroupedLinear, ExpertWithoutRowsKeepsItsGradient) {
  OpCheck check(DType::bf16, cpu::grouped_linear_cpu_kernels());
  const Tensor x = check.leaf("x", {8, 16});
  const Tensor weight = check.weight("weight", {3, 4, 16});
  const Tensor offsets = check.integers("offsets", {4}, {0, 5, 5, 8});
  check.output(grouped_linear(check.program(), x, weight, offsets));
  check.run();
  const std::vector<double> once = check.gradient("weight");
  check.run_again();
  const std::vector<double> twice = check.gradient("weight");
  for (std::size_t i = 0; i < once.size(); ++i) {
    if (i / 64 == 1) {
      EXPECT_EQ(once[i], 0.0);
    } else {
      EXPECT_NE(once[i], 0.0);
    }
    EXPECT_NEAR(twice[i], 2 * once[i], 1e-6);
  }
}

TEST(GroupedLinear, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<double> y_expected, x_expected, weight_expected;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::grouped_linear_cpu_kernels(), threads);
    const Tensor x = check.leaf("x", {700, 96});
    const Tensor weight = check.weight("weight", {4, 80, 96});
    const Tensor offsets = check.integers("offsets", {5}, {0, 300, 300, 301, 700});
    const Tensor y = grouped_linear(check.program(), x, weight, offsets);
    check.output(y);
    check.run();
    if (threads == 1) {
      y_expected = check.value(y);
      x_expected = check.gradient("x");
      weight_expected = check.gradient("weight");
    }
    EXPECT_EQ(check.value(y), y_expected) << threads << " threads";
    EXPECT_EQ(check.gradient("x"), x_expected) << threads << " threads";
    EXPECT_EQ(check.gradient("weight"), weight_expected) << threads << " threads";
  }
}

TEST(GroupedLinear, CostCountsEachRowOnce) {
  Program program;
  const Tensor x = program.persistent("x", {20, 8}, DType::f32, Role::input);
  const Tensor weight = program.persistent("weight", {4, 5, 8}, DType::f32, Role::weight);
  const Tensor offsets = program.persistent("offsets", {5}, DType::i32, Role::input);
  grouped_linear(program, x, weight, offsets);
  EXPECT_EQ(program.ops().back().flops, 2.0 * 20 * 8 * 5);
}

}  // namespace
}  // namespace ingot
