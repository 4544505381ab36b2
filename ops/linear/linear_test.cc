#include "ops/linear/linear.h"

#include <gtest/gtest.h>

#include "ops/linear/linear_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// fp32: sums of up to 70 products. bf16: exact inputs, fp32 sums, one rounding of the result; its
// gradients go through bf16 dx, and dy is bf16 already.
Tolerance tolerance_of(DType dtype) {
  if (dtype == DType::f32) return {.value = 2e-6, .gradient = 5e-6};
  if (dtype == DType::f16) return {.value = 1.0 / 2048, .gradient = 1.0 / 1024};
  return {.value = 1.0 / 256, .gradient = 1.0 / 128};
}

// leaves: x [rows, in], weight [out, in], then bias [out] and residual [rows, out] if wanted.
Reference reference(std::int64_t rows, std::int64_t in, std::int64_t out, bool bias,
                    bool residual) {
  return [=](const Leaves& leaves) {
    std::vector<double> y(rows * out);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < out; ++j) {
        double sum = bias ? leaves[2][j] : 0;
        if (residual) sum += leaves[bias ? 3 : 2][i * out + j];
        for (std::int64_t k = 0; k < in; ++k) sum += leaves[0][i * in + k] * leaves[1][j * in + k];
        y[i * out + j] = sum;
      }
    }
    return y;
  };
}

TEST(Linear, MatchesTheProductAndItsGradientsWithBiasAndResidual) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto& [in, out] : {std::pair{1, 1}, std::pair{33, 70}, std::pair{70, 16}}) {
      for (const bool extras : {false, true}) {
        OpCheck check(dtype, cpu::linear_cpu_kernels());
        const Tensor x = check.leaf("x", {19, in});
        const Tensor weight = check.weight("weight", {out, in});
        LinearOptions options;
        if (extras) {
          options.bias = check.weight("bias", {out}, 1, DType::f32);
          options.residual = check.leaf("residual", {19, out});
        }
        check.output(linear(check.program(), x, weight, options));
        check.run();
        check.expect_matches(reference(19, in, out, extras, extras), tolerance_of(dtype));
      }
    }
  }
}

TEST(Linear, TakesColumnsOfAWiderTensorAndAddsUpGradientsOfTwoUses) {
  OpCheck check(DType::f32, cpu::linear_cpu_kernels());
  const Tensor x = check.leaf("x", {5, 48});
  const Tensor weight = check.weight("weight", {7, 16});
  for (int use = 0; use < 2; ++use) {
    check.output(linear(check.program(), x.slice(3, 16), weight));
  }
  check.output(x.slice(0, 3));
  check.output(x.slice(19, 29));
  check.run();
  check.expect_matches(
      [](const Leaves& leaves) {
        Leaves cut{{}, leaves[1]};
        for (int i = 0; i < 5; ++i) {
          for (int k = 0; k < 16; ++k) cut[0].push_back(leaves[0][i * 48 + 3 + k]);
        }
        std::vector<double> y = reference(5, 16, 7, false, false)(cut);
        const std::vector<double> again = y;
        y.insert(y.end(), again.begin(), again.end());
        for (const auto& [first, count] : {std::pair{0, 3}, std::pair{19, 29}}) {
          for (int i = 0; i < 5; ++i) {
            for (int k = 0; k < count; ++k) y.push_back(leaves[0][i * 48 + first + k]);
          }
        }
        return y;
      },
      tolerance_of(DType::f32));
}

TEST(Linear, RunsRoutersInFp32UnderLowerPrecisionActivations) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    OpCheck check(dtype, cpu::linear_cpu_kernels());
    const Tensor x = check.leaf("x", {300, 33});  // more than one chunk of rows
    const Tensor weight = check.weight("weight", {8, 33}, 1, DType::f32);
    check.output(linear(check.program(), x, weight, {.output_dtype = DType::f32}));
    check.run();
    // Values and dW are fp32 throughout; dx is rounded once.
    check.expect_matches(reference(300, 33, 8, false, false),
                         {.value = 2e-6, .gradient = tolerance_of(dtype).gradient});
  }
}

TEST(Linear, GivesTheSameBitsForAnyNumberOfThreads) {
  std::vector<std::byte> expected;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::linear_cpu_kernels(), threads);
    const Tensor x = check.leaf("x", {300, 70});
    const Tensor weight = check.weight("weight", {130, 70});
    const Tensor bias = check.weight("bias", {130}, 1, DType::f32);
    check.output(linear(check.program(), x, weight, {.bias = bias}));
    check.run();
    std::vector<std::byte> bytes = check.bytes(check.program().weight_of(weight)->gradient.values);
    for (const Tensor t : {bias}) {
      const auto more = check.bytes(check.program().weight_of(t)->gradient.values);
      bytes.insert(bytes.end(), more.begin(), more.end());
    }
    if (threads == 1) expected = bytes;
    EXPECT_EQ(bytes, expected);
  }
}

}  // namespace
}  // namespace ingot
