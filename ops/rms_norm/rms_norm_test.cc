#include "ops/rms_norm/rms_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "ops/rms_norm/rms_norm_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

constexpr double kEpsilon = 1e-5;

// fp32: sums of up to 65 squares, a square root and two products. bf16: inputs are exact, the
// result is rounded once (half a unit of 8 bits).
Tolerance tolerance_of(DType dtype) {
  if (dtype == DType::f32) return {.value = 2e-6, .gradient = 5e-6};
  return {.value = 1.0 / 256, .gradient = 1.0 / 128};
}

// leaves: x [rows, columns], gain [columns / groups]
Reference reference(std::int64_t rows, std::int64_t columns, std::int64_t groups) {
  return [=](const Leaves& leaves) {
    const std::int64_t width = columns / groups;
    std::vector<double> y(rows * columns);
    for (std::int64_t i = 0; i < rows * groups; ++i) {
      double squares = 0;
      for (std::int64_t j = 0; j < width; ++j) squares += std::pow(leaves[0][i * width + j], 2);
      const double rms = std::sqrt(squares / static_cast<double>(width) + kEpsilon);
      for (std::int64_t j = 0; j < width; ++j) {
        y[i * width + j] = leaves[0][i * width + j] / rms * leaves[1][j];
      }
    }
    return y;
  };
}

TEST(RmsNorm, MatchesTheFormulaAndItsGradientAtEverySizeAndDType) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    for (const std::int64_t columns : {1, 15, 16, 17, 65}) {
      OpCheck check(dtype, cpu::rms_norm_cpu_kernels());
      const Tensor x = check.leaf("x", {37, columns}, 2);
      const Tensor gain = check.weight("gain", {columns}, 2, DType::f32);
      check.output(rms_norm(check.program(), x, gain, {.epsilon = kEpsilon}));
      check.run();
      check.expect_matches(reference(37, columns, 1), tolerance_of(dtype));
    }
  }
}

TEST(RmsNorm, NormsEachGroupOfARow) {
  OpCheck check(DType::f32, cpu::rms_norm_cpu_kernels());
  const Tensor x = check.leaf("x", {5, 24});
  const Tensor gain = check.weight("gain", {8});
  check.output(rms_norm(check.program(), x, gain, {.epsilon = kEpsilon, .groups = 3}));
  check.run();
  check.expect_matches(reference(5, 24, 3), tolerance_of(DType::f32));
}

TEST(RmsNorm, ReadsAndWritesColumnsOfWiderTensors) {
  OpCheck check(DType::f32, cpu::rms_norm_cpu_kernels());
  const Tensor x = check.leaf("x", {4, 40});
  const Tensor gain = check.weight("gain", {16});
  const Tensor wide = check.program().activation("wide", {4, 32}, DType::f32);
  rms_norm(check.program(), x.slice(3, 16), gain, {.epsilon = kEpsilon, .into = wide.slice(0, 16)});
  rms_norm(check.program(), x.slice(24, 16), gain,
           {.epsilon = kEpsilon, .into = wide.slice(16, 16)});
  check.output(wide.slice(0, 16));
  check.output(wide.slice(16, 16));
  check.output(x.slice(0, 3));
  check.output(x.slice(19, 5));
  check.run();
  check.expect_matches(
      [](const Leaves& leaves) {
        const auto part = [&](std::int64_t first) {
          Leaves cut{{}, leaves[1]};
          for (int row = 0; row < 4; ++row) {
            for (int j = 0; j < 16; ++j) cut[0].push_back(leaves[0][row * 40 + first + j]);
          }
          return reference(4, 16, 1)(cut);
        };
        std::vector<double> y = part(3);
        const std::vector<double> second = part(24);
        y.insert(y.end(), second.begin(), second.end());
        for (const auto& [first, count] : {std::pair{0, 3}, std::pair{19, 5}}) {
          for (int row = 0; row < 4; ++row) {
            for (int j = 0; j < count; ++j) y.push_back(leaves[0][row * 40 + first + j]);
          }
        }
        return y;
      },
      tolerance_of(DType::f32));
}

TEST(RmsNorm, GivesTheSameBitsForAnyNumberOfThreads) {
  std::vector<std::byte> expected;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::rms_norm_cpu_kernels(), threads);
    const Tensor x = check.leaf("x", {200, 48});
    const Tensor gain = check.weight("gain", {48}, 1, DType::f32);
    check.output(rms_norm(check.program(), x, gain));
    check.run();
    const auto bytes = check.bytes(check.program().weight_of(gain)->gradient.values);
    if (threads == 1) expected = bytes;
    EXPECT_EQ(bytes, expected);
  }
}

}  // namespace
}  // namespace ingot
