#include "compress/passes/int8_compute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu_kernels.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/cross_entropy/cross_entropy_cpu.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/linear/linear.h"
#include "ops/quantize/quantize.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

const PrecisionConfig kInt8{.compute = ComputeType::int8, .wgrad = WgradType::int8};
const PrecisionConfig kInt8WithoutWgrad{.compute = ComputeType::int8, .wgrad = WgradType::bf16};

// One product of a layer, with the gradients, how many of its ops are in int8, and how many ops
// quantize for them.
struct Products {
  std::vector<double> y, dx, dw;
  int marked = 0, quantized = 0;
  void expect_close(const Products& other, double tolerance) const {
    for (const auto& [ours, theirs] :
         {std::pair{&y, &other.y}, {&dx, &other.dx}, {&dw, &other.dw}}) {
      double error = 0, norm = 0;
      for (std::size_t i = 0; i < ours->size(); ++i) {
        const double difference = (*ours)[i] - (*theirs)[i];
        error += difference * difference;
        norm += (*theirs)[i] * (*theirs)[i];
      }
      EXPECT_LT(std::sqrt(error / norm), tolerance);
      EXPECT_GT(error, 0);
    }
  }
  bool operator==(const Products& other) const {
    return y == other.y && dx == other.dx && dw == other.dw;
  }
};

Products run(bool grouped, const PrecisionConfig& config, int threads, std::int64_t out = 72) {
  OpCheck check(DType::bf16, cpu::all_cpu_kernels(), threads);
  Program& program = check.program();
  const At layer(program, Cursor{.layer = 3});
  const Tensor x = check.leaf("x", {200, 150});
  Tensor y;
  if (grouped) {
    const Tensor weight = check.weight("weight", {3, out, 150});
    const Tensor offsets = check.integers("offsets", {4}, {0, 120, 120, 200});
    y = grouped_linear(program, x, weight, offsets);
  } else {
    y = linear(program, x, check.weight("weight", {out, 150}));
  }
  check.output(y);
  check.transform([&](Program& p) { mark_int8_compute(p, config); });
  check.run();
  Products result{check.value(y), check.gradient("x"), check.gradient("weight")};
  for (const Op& op : program.ops()) {
    result.marked += op.attributes.flag("int8");
    result.quantized += op.kind == &kQuantize;
  }
  return result;
}

// memory.md A1: 0.7 % for each operand, 0.9 % for stochastic rounding; uniform values a bit less.
TEST(Int8Compute, ProductsAreAsCloseAsInt8Is) {
  for (const bool grouped : {false, true}) {
    const Products exact = run(grouped, {.compute = ComputeType::bf16}, 2);
    EXPECT_EQ(exact.marked, 0);
    const Products rounded = run(grouped, kInt8, 2);
    EXPECT_EQ(rounded.marked, 3);
    EXPECT_EQ(rounded.quantized, 1);
    rounded.expect_close(exact, 0.012);
    const Products without_wgrad = run(grouped, kInt8WithoutWgrad, 2);
    EXPECT_EQ(without_wgrad.marked, 2);
    EXPECT_EQ(without_wgrad.quantized, 0);
    EXPECT_EQ(without_wgrad.y, rounded.y);
    EXPECT_EQ(without_wgrad.dw, exact.dw);
  }
}

// dx and dW take the same codes of dy, dx the very ones it would make itself.
TEST(Int8Compute, GradientsAreQuantizedOnceForBothProducts) {
  PrecisionConfig blocks = kInt8;
  blocks.int8_scales = Int8Scales::blocks_of_128;
  for (const bool grouped : {false, true}) {
    const Products shared = run(grouped, kInt8, 2);
    const Products apart = run(grouped, kInt8WithoutWgrad, 2);
    EXPECT_EQ(shared.y, apart.y);
    EXPECT_EQ(shared.dx, apart.dx);
    EXPECT_EQ(run(grouped, blocks, 2).quantized, 0);
    // Rows that are not whole words of four codes: each product makes its own.
    const Products odd = run(grouped, kInt8, 2, 70);
    EXPECT_EQ(odd.quantized, 0);
    odd.expect_close(run(grouped, {.compute = ComputeType::bf16}, 2, 70), 0.012);
  }
}

// What is overwritten in between is not the same operand.
TEST(Int8Compute, CodesAreNotSharedAcrossAWrite) {
  Program program;
  const At layer(program, Cursor{.layer = 0});
  const Tensor x = program.activation("x", {128, 96}, DType::bf16);
  const Tensor weight = program.persistent("weight", {8, 96}, DType::bf16, Role::weight);
  const auto quantized_with = [&](bool write) {
    Program copy = program;
    linear(copy, x, weight);
    if (write) copy.append(kDequantize, {}, {x});
    linear(copy, x, weight);
    mark_int8_compute(copy, kInt8);
    return std::ranges::count(copy.ops(), &kQuantize, &Op::kind);
  };
  EXPECT_EQ(quantized_with(false), 1);
  EXPECT_EQ(quantized_with(true), 0);
}

Products run_head(const PrecisionConfig& config, int threads) {
  constexpr std::int64_t kTokens = 300, kVocabulary = 1500;
  OpCheck check(DType::bf16, cpu::cross_entropy_cpu_kernels(), threads);
  check.set_slot(step_slot::kLossFactor, 1.0 / kTokens);
  const Tensor hidden = check.leaf("x", {kTokens, 96});
  const Tensor weight = check.weight("weight", {kVocabulary, 96});
  std::vector<std::int32_t> targets(kTokens);
  for (std::int64_t i = 0; i < kTokens; ++i) targets[i] = (i * i + 3) % kVocabulary;
  const Tensor loss =
      cross_entropy(check.program(), hidden, weight, check.integers("targets", {kTokens}, targets),
                    {.chunk_rows = 128});
  check.transform([&](Program& p) { mark_int8_compute(p, config); });
  check.run();
  Products result{check.value(loss), check.gradient("x"), check.gradient("weight")};
  for (const Op& op : check.program().ops()) result.marked += op.attributes.flag("int8");
  return result;
}

TEST(Int8Compute, TheHeadIsInInt8WhereTheConfigSaysSo) {
  const PrecisionConfig with_head{.compute = ComputeType::int8, .head = HeadType::int8};
  const Products exact = run_head(kInt8, 2);
  EXPECT_EQ(exact.marked, 0);
  const Products rounded = run_head(with_head, 2);
  EXPECT_EQ(rounded.marked, 1);
  rounded.expect_close(exact, 0.04);
  EXPECT_NEAR(rounded.y[0], exact.y[0], 1e-3 * exact.y[0]);
  EXPECT_TRUE(run_head(with_head, 1) == rounded);
  PrecisionConfig without_wgrad = with_head;
  without_wgrad.wgrad = WgradType::bf16;
  EXPECT_EQ(run_head(without_wgrad, 2).dx, rounded.dx);
  EXPECT_NE(run_head(without_wgrad, 2).dw, rounded.dw);
}

TEST(Int8Compute, BitsDoNotDependOnTheNumberOfThreads) {
  for (const bool grouped : {false, true}) {
    EXPECT_TRUE(run(grouped, kInt8, 1) == run(grouped, kInt8, 3));
  }
}

TEST(Int8Compute, LeavesRoutersHeadsAndDecodingAlone) {
  Program program;
  const auto weight = [&](std::int64_t out, DType dtype) {
    return program.persistent("weight", {out, 96}, dtype, Role::weight);
  };
  const Tensor x = program.activation("x", {128, 96}, DType::bf16);
  linear(program, x, weight(8, DType::bf16), {.output_dtype = DType::f32});  // the head: no layer
  const At layer(program, Cursor{.layer = 0});
  linear(program, x, weight(8, DType::f32), {.output_dtype = DType::f32});  // a router
  linear(program, program.activation("few", {8, 96}, DType::bf16), weight(8, DType::bf16));
  linear(program, program.activation("fp32", {128, 96}, DType::f32), weight(8, DType::f32));
  mark_int8_compute(program, kInt8);
  for (const Op& op : program.ops()) EXPECT_FALSE(op.attributes.flag("int8"));
  linear(program, x, weight(8, DType::bf16));
  mark_int8_compute(program, kInt8);
  EXPECT_TRUE(program.ops().back().attributes.flag("int8"));
}

}  // namespace
}  // namespace ingot
