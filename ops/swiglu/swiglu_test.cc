#include "ops/swiglu/swiglu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/swiglu/swiglu_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// Every result is rounded once to its dtype (8 and 11 significant bits); in fp32 some ten roundings
// meet, and rows are summed for the weight's gradient.
double rounding(DType dtype) {
  return dtype == DType::bf16 ? 1.0 / 256 : dtype == DType::f16 ? 1.0 / 2048 : 2e-6;
}

std::vector<double> reference(const std::vector<double>& gate_up, const std::vector<double>* weight,
                              std::int64_t width) {
  const std::int64_t rows = gate_up.size() / (2 * width);
  std::vector<double> h(rows * width);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = gate_up[row * 2 * width + i], up = gate_up[(row * 2 + 1) * width + i];
      h[row * width + i] =
          gate / (1 + std::exp(-gate)) * up * (weight == nullptr ? 1.0 : (*weight)[row]);
    }
  }
  return h;
}

TEST(Swiglu, MatchesReferenceAndFiniteDifferences) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t width : {1, 15, 16, 17, 64, 100}) {
        OpCheck check(dtype, cpu::swiglu_cpu_kernels(), 2, isa);
        const Tensor gate_up = check.leaf("gate_up", {5, 2 * width}, 4);
        check.output(swiglu(check.program(), gate_up));
        check.run();
        check.expect_matches(
            [&](const Leaves& leaves) { return reference(leaves[0], nullptr, width); },
            {.value = rounding(dtype), .gradient = rounding(dtype)});
      }
    }
  }
}

TEST(Swiglu, RowWeightMatchesReferenceAndFiniteDifferences) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t width : {1, 16, 35}) {
        OpCheck check(dtype, cpu::swiglu_cpu_kernels(), 2, isa);
        const Tensor gate_up = check.leaf("gate_up", {4, 2 * width}, 4);
        const Tensor weight = check.leaf("weight", {4, 1}, {0.25, 0, -1.5, 2.5}, DType::f32);
        check.output(swiglu(check.program(), gate_up, weight));
        check.run();
        check.expect_matches(
            [&](const Leaves& leaves) { return reference(leaves[0], &leaves[1], width); },
            {.value = rounding(dtype), .gradient = rounding(dtype)});
      }
    }
  }
}

// The accumulating path rounds the sum of two gradients once more.
TEST(Swiglu, GradientsOfTwoUsesAdd) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    OpCheck check(dtype, cpu::swiglu_cpu_kernels());
    const Tensor gate_up = check.leaf("gate_up", {3, 2 * 21}, 2);
    const Tensor weight = check.leaf("weight", {3, 1}, {0.5, 2, -1}, DType::f32);
    check.output(swiglu(check.program(), gate_up, weight));
    check.output(swiglu(check.program(), gate_up, weight));
    check.run();
    check.expect_matches(
        [&](const Leaves& leaves) {
          std::vector<double> h = reference(leaves[0], &leaves[1], 21);
          const std::vector<double> again = h;
          h.insert(h.end(), again.begin(), again.end());
          return h;
        },
        {.value = rounding(dtype), .gradient = 2 * rounding(dtype)});
  }
}

TEST(Swiglu, LargeInputsSaturateInsteadOfOverflowing) {
  OpCheck check(DType::f32, cpu::swiglu_cpu_kernels());
  const Tensor gate_up = check.leaf("gate_up", {1, 6}, {-1000, 1000, -89, 2, 2, 2}, DType::f32);
  const Tensor h = swiglu(check.program(), gate_up);
  check.output(h);
  check.run();
  EXPECT_EQ(check.value(h)[0], 0.0);
  EXPECT_EQ(check.value(h)[1], 2000.0);
  for (const double g : check.gradient("gate_up")) EXPECT_TRUE(std::isfinite(g)) << g;
}

TEST(Swiglu, RowsBeyondTheCountAreLeftAlone) {
  OpCheck check(DType::f32, cpu::swiglu_cpu_kernels());
  const Tensor gate_up = check.leaf("gate_up", {5, 4});
  const Tensor counts = check.integers("counts", {3}, {9, 3, 9});
  const Tensor h = swiglu(check.program(), gate_up, {}, counts.slice(1, 1));
  check.output(h);
  check.run();
  const std::vector<double> y = check.value(h), gradient = check.gradient("gate_up");
  for (int i = 0; i < 6; ++i) EXPECT_NE(y[i], 0.0);
  for (int i = 6; i < 10; ++i) EXPECT_EQ(y[i], 0.0);  // the arena starts as zeros
  for (int i = 0; i < 12; ++i) EXPECT_NE(gradient[i], 0.0);
  for (int i = 12; i < 20; ++i) EXPECT_EQ(gradient[i], 0.0);
}

TEST(Swiglu, BitsDoNotDependOnTheNumberOfThreads) {
  std::vector<std::byte> expected;
  std::vector<double> gradient;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::swiglu_cpu_kernels(), threads);
    const Tensor gate_up = check.leaf("gate_up", {333, 2 * 257}, 3);
    const Tensor h = swiglu(check.program(), gate_up);
    check.output(h);
    check.run();
    if (threads == 1) expected = check.bytes(h), gradient = check.gradient("gate_up");
    EXPECT_EQ(check.bytes(h), expected) << threads << " threads";
    EXPECT_EQ(check.gradient("gate_up"), gradient) << threads << " threads";
  }
}

}  // namespace
}  // namespace ingot
