#include "compress/passes/fuse_codes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "compress/passes/int8_compute.h"
#include "memory/passes/activation_policy.h"
#include "memory/passes/saved_activations.h"
#include "ops/cpu_kernels.h"
#include "ops/dispatch/dispatch.h"
#include "ops/grouped_linear/grouped_linear.h"
#include "ops/linear/linear.h"
#include "ops/quantize/quantize.h"
#include "ops/quantize/row_codes.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/swiglu/swiglu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

constexpr std::int64_t kTokens = 96, kHidden = 72, kWidth = 40, kExperts = 3, kSlots = 2;
const std::vector<std::string> kWeights = {"gain", "gate_up", "down"};

std::int64_t count(const Program& program, const OpKind& kind) {
  return std::ranges::count(program.ops(), &kind, &Op::kind);
}

// A feed-forward block with its norm, activations in 8 bits and computed again, products in int8.
struct Block {
  OpCheck check;
  Tensor y;

  Block(bool experts, bool fused, int threads = 2)
      : check(DType::bf16, cpu::all_cpu_kernels(), threads) {
    Program& program = check.program();
    const At layer(program, Cursor{.layer = 0});
    const Tensor x = check.leaf("x", {kTokens, kHidden});
    const Tensor gain = check.weight("gain", {kHidden}, 1, DType::f32);
    const Tensor norm = rms_norm(program, x, gain);
    if (experts) {
      const Tensor gate_up = check.weight("gate_up", {kExperts, 2 * kWidth, kHidden});
      const Tensor down = check.weight("down", {kExperts, kHidden, kWidth});
      std::vector<std::int32_t> chosen;  // the last expert gets no token
      for (std::int32_t t = 0; t < kTokens; ++t) chosen.insert(chosen.end(), {t % 2, 1 - t % 2});
      const Dispatch sorted =
          dispatch(program, check.integers("chosen", {kTokens, kSlots}, chosen), kExperts);
      const Tensor weights = check.leaf("weights", {kTokens, kSlots},
                                        std::vector<double>(kTokens * kSlots, 0.5), DType::f32);
      const Tensor rows = permute(program, norm, sorted);
      const Tensor h = swiglu(program, grouped_linear(program, rows, gate_up, sorted.offsets),
                              permute_weights(program, weights, sorted), sorted.row_count());
      y = grouped_linear(program, h, down, sorted.offsets);
    } else {
      const Tensor gate_up = check.weight("gate_up", {2 * kWidth, kHidden});
      const Tensor down = check.weight("down", {kHidden, kWidth});
      const Tensor h = swiglu(program, linear(program, norm, gate_up));
      y = linear(program, h, down, {.residual = x});
    }
    check.output(y);
    check.transform([fused](Program& p) {
      const std::vector<SavedActivation> saved = saved_activations(p);
      store_activations(p, saved, storage_at(p, saved, ActivationLevel::int8));
      mark_int8_compute(p, {.compute = ComputeType::int8, .wgrad = WgradType::int8});
      if (fused) fuse_codes(p);
    });
    check.run();
    check.run_again();
  }

  std::vector<std::vector<double>> results() const {
    std::vector<std::vector<double>> all = {check.value(y), check.gradient("x")};
    for (const std::string& weight : kWeights) all.push_back(check.gradient(weight));
    return all;
  }
};

TEST(FuseCodes, BitsAreThoseOfOpsOfTheirOwn) {
  for (const bool experts : {false, true}) {
    Block apart(experts, false);
    EXPECT_GT(count(apart.check.program(), kDequantize), 0);
    for (const int threads : {1, 3}) {
      const Block fused(experts, true, threads);
      EXPECT_EQ(fused.results(), apart.results()) << experts << " on " << threads << " threads";
    }
  }
}

// Of a dense block: the norm's codes, SwiGLU's (h, and gate and up for backward), and both
// gradients that products start from. The output's gradient comes from no op that could.
TEST(FuseCodes, RowWiseOpsOfABlockTakeTheCodes) {
  Block block(false, true);
  const Program& program = block.check.program();
  EXPECT_EQ(count(program, kQuantize), 1);
  EXPECT_EQ(count(program, kDequantize), 0);
  EXPECT_EQ(count(program, kSwiglu), 1);
  for (const Op& op : program.ops()) {
    if (op.kind == &kRmsNorm) {
      EXPECT_EQ(static_cast<bool>(op.outputs[0]), op.phase == Phase::backward);
    }
    if (op.kind == &kSwiglu) {
      EXPECT_FALSE(op.outputs[0]);
      EXPECT_TRUE(codes_of(op, CodesOf::input));
    }
    if (op.kind == &kSwigluBackward) {
      EXPECT_FALSE(op.outputs[0]);
      EXPECT_TRUE(op.outputs[2]);
      EXPECT_EQ(program.dtype(op.inputs[1]), DType::i8);
    }
  }
}

// An update between SwiGLU's two ops that its backward op depends on: nothing is moved across it.
TEST(FuseCodes, HiddenIsMadeAgainWhereItsReadersCannotWait) {
  const auto made_in_backward = [](bool waits) {
    Program program;
    const auto rows = [&](const char* name) {
      return program.activation(name, {64, 128}, DType::bf16);
    };
    const Quantized codes = quantize(program, rows("gate_up"));
    const Tensor again = rows("again"), gain = program.activation("gain", {64}, DType::f32);
    const At backward(program, Cursor{.phase = Phase::backward});
    dequantize(program, codes, again);
    const Tensor h = swiglu(program, again);
    const Tensor y = rms_norm(program, h, gain);
    const Tensor dh = waits ? y : program.activation("dh", {64, 64}, DType::bf16);
    program.append(kSwigluBackward, {dh, again, {}, {}}, {rows("gradient"), Tensor{}, Tensor{}});
    fuse_codes(program);
    EXPECT_EQ(count(program, kDequantize), 0);
    return count(program, kSwiglu) == 0 && program.ops().back().kind == &kRmsNorm;
  };
  EXPECT_TRUE(made_in_backward(false));
  EXPECT_FALSE(made_in_backward(true));
}

// Once for a token rather than for each of its experts, forward and backward.
TEST(FuseCodes, ExpertsGetCodesOfTokens) {
  Block block(true, true);
  const Program& program = block.check.program();
  for (const Op& op : program.ops()) {
    if (op.kind != &kPermute || op.phase == Phase::backward) continue;
    EXPECT_TRUE(program.dtype(op.inputs[0]) == DType::i8 || op.inputs[0].columns == 1);
  }
  EXPECT_EQ(count(program, kQuantize), 1);
}

struct Chain {
  Program program;
  Tensor x, gain, y;
  Chain() {
    x = program.activation("x", {64, 64}, DType::bf16);
    gain = program.persistent("gain", {64}, DType::f32, Role::weight);
    y = rms_norm(program, x, gain);
  }
};

TEST(FuseCodes, ValuesThatChangeInBetweenAreQuantizedWhereTheyAre) {
  Chain chain;
  rms_norm(chain.program, chain.x, chain.gain, {.into = chain.y.slice(0, 64)});
  quantize(chain.program, chain.y);
  fuse_codes(chain.program);
  EXPECT_FALSE(codes_of(chain.program.ops()[0], CodesOf::output));
  EXPECT_TRUE(codes_of(chain.program.ops()[1], CodesOf::output));

  Chain other;
  dequantize(other.program, quantize(other.program, other.x), other.y);
  quantize(other.program, other.y);
  fuse_codes(other.program);
  EXPECT_EQ(count(other.program, kQuantize), 2);
}

TEST(FuseCodes, ValuesThatAreReadStay) {
  Chain chain;
  quantize(chain.program, chain.y);
  swiglu(chain.program, chain.y);
  fuse_codes(chain.program);
  EXPECT_EQ(count(chain.program, kQuantize), 0);
  EXPECT_EQ(chain.program.ops()[0].outputs[0], chain.y);
}

TEST(FuseCodes, CodesThatAnotherOpNeedsAsValuesAreDequantized) {
  Chain chain;
  Program& program = chain.program;
  const Quantized codes = quantize(program, chain.x);
  const Tensor values = program.activation("values", {64, 64}, DType::bf16);
  dequantize(program, codes, values);
  swiglu(program, values);
  rms_norm(program, values, chain.gain);
  fuse_codes(program);
  EXPECT_EQ(count(program, kDequantize), 1);
  EXPECT_EQ(program.ops().back().inputs[0], values);
}

TEST(FuseCodes, CostsCountTheBytesThatStillMove) {
  Chain chain;
  const double alone = chain.program.ops()[0].bytes;
  quantize(chain.program, chain.y);
  fuse_codes(chain.program);
  // Codes and scales instead of values: 64 x 64 bytes less, a scale for each row more.
  EXPECT_EQ(chain.program.ops()[0].bytes, alone - 64 * 64 + 64 * 4);
}

}  // namespace
}  // namespace ingot
