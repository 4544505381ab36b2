#include "ops/quantize/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "ops/quantize/quantize_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

std::vector<std::int8_t> codes_of(const OpCheck& check, Tensor t) {
  const std::vector<std::byte> bytes = check.bytes(t);
  std::vector<std::int8_t> codes(bytes.size());
  std::memcpy(codes.data(), bytes.data(), bytes.size());
  return codes;
}

// A code is off by at most half a step of 1/127 of the group's largest value; then one rounding.
TEST(Quantize, RoundTripStaysWithinHalfAStep) {
  for (const cpu::Isa isa : cpu::kAllIsas) {
    if (!cpu::supports(isa)) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
      for (const std::int64_t group : {32, 128}) {
        OpCheck check(dtype, cpu::quantize_cpu_kernels(), 2, isa);
        const Tensor x = check.leaf("x", {37, 150}, 4);
        const Quantized quantized = quantize(check.program(), x, {.group = group});
        const Tensor y = check.program().activation("y", {37, 150}, dtype);
        dequantize(check.program(), quantized, y, group);
        check.result(quantized.scales);
        check.result(y);
        check.run();
        const std::vector<double> from = check.value(x), to = check.value(y);
        const double rounding = dtype == DType::f32 ? 1e-6 : dtype == DType::f16 ? 1e-3 : 8e-3;
        for (std::size_t i = 0; i < from.size(); ++i) {
          EXPECT_NEAR(to[i], from[i], 4 / 127.0 / 2 + rounding * 4);
        }
        EXPECT_EQ(check.program().info(quantized.scales).shape,
                  (Shape{37, (150 + group - 1) / group}));
      }
    }
  }
}

TEST(Quantize, ReadsAndWritesColumnSlicesOnly) {
  OpCheck check(DType::bf16, cpu::quantize_cpu_kernels());
  const Tensor x = check.leaf("x", {9, 80});
  const Tensor y = check.leaf("y", {9, 80});
  const Quantized quantized = quantize(check.program(), x.slice(7, 33), {.group = 32});
  EXPECT_EQ(check.program().info(quantized.codes).shape, (Shape{9, 33}));
  dequantize(check.program(), quantized, y.slice(40, 33), 32);
  check.result(y);
  check.run();
  const std::vector<double> from = check.value(x), to = check.value(y);
  OpCheck untouched(DType::bf16, cpu::quantize_cpu_kernels());
  untouched.leaf("x", {9, 80});
  const Tensor before = untouched.leaf("y", {9, 80});
  untouched.result(before);
  untouched.run();
  const std::vector<double> old = untouched.value(before);
  for (int i = 0; i < 9 * 80; ++i) {
    if (i % 80 >= 40 && i % 80 < 73) {
      EXPECT_NEAR(to[i], from[i - 33], 1.0 / 127);
    } else {
      EXPECT_EQ(to[i], old[i]);
    }
  }
}

TEST(Quantize, StochasticCodesDependOnStepAndTensorButNotOnThreads) {
  std::vector<std::int8_t> expected;
  for (const int threads : {1, 2, 3}) {
    OpCheck check(DType::bf16, cpu::quantize_cpu_kernels(), threads);
    std::vector<double> values(300 * 700);
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = std::sin(0.1 * static_cast<double>(i));
    const Tensor x = check.leaf("x", {300, 700}, values, DType::bf16);
    const Tensor same = check.leaf("same", {300, 700}, values, DType::bf16);
    const Quantized first = quantize(check.program(), x, {.stochastic = true});
    const Quantized second = quantize(check.program(), same, {.stochastic = true});
    check.result(first.codes);
    check.result(second.codes);
    check.run();
    const std::vector<std::int8_t> codes = codes_of(check, first.codes);
    EXPECT_FALSE(codes == codes_of(check, second.codes));
    if (threads == 1) expected = codes;
    EXPECT_TRUE(codes == expected) << threads << " threads";
    check.run_again();  // the next micro-step
    EXPECT_FALSE(codes_of(check, first.codes) == expected);
    check.state().micro_batch = -1;
    check.run_again();
    EXPECT_TRUE(codes_of(check, first.codes) == expected);
  }
}

// A pass that adds tensors, another plan or a model with one op more: nothing that is drawn
// changes.
TEST(Quantize, DrawsBelongToNamesWhateverElseTheProgramHas) {
  const auto codes = [](bool others) {
    OpCheck check(DType::bf16, cpu::quantize_cpu_kernels());
    if (others) check.constants("other", {3}, {1, 2, 3});
    const Tensor x = check.leaf("x", {5, 64});
    const Quantized quantized = quantize(check.program(), x, {.stochastic = true});
    check.result(quantized.codes);
    check.run();
    return codes_of(check, quantized.codes);
  };
  EXPECT_EQ(codes(true), codes(false));
}

TEST(Quantize, RefusesWhatDoesNotFit) {
  Program program;
  const Tensor x = program.activation("x", {4, 100}, DType::bf16);
  const Tensor integers = program.activation("integers", {4, 100}, DType::i32);
  EXPECT_THROW(quantize(program, x, {.group = 0}), std::logic_error);
  EXPECT_THROW(quantize(program, integers), std::logic_error);
  const Quantized quantized = quantize(program, x, {.group = 32});
  EXPECT_THROW(dequantize(program, quantized, x, 128), std::logic_error);
  EXPECT_THROW(dequantize(program, quantized, x.slice(0, 50), 32), std::logic_error);
}

}  // namespace
}  // namespace ingot
