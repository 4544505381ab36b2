// A kind of op is entered in its OpKind and nowhere else: passes treat one that they never heard of
// by what it says there.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "compress/passes/fuse_codes.h"
#include "compress/passes/int8_compute.h"
#include "compress/passes/int8_weights.h"
#include "engine/program/autodiff.h"
#include "memory/passes/packed_weights.h"
#include "memory/passes/saved_activations.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/pack_weight/pack_weight.h"
#include "ops/quantize/quantize.h"
#include "ops/quantize/row_codes.h"
#include "optim/square_sums.h"

namespace ingot {
namespace {

constexpr std::int64_t kRows = 128, kColumns = 64, kSums = 7;
const PrecisionConfig kInt8{.compute = ComputeType::int8, .wgrad = WgradType::int8};

std::int64_t made_up_sums(const Shape&) { return kSums; }

const OpKind kMadeUpDgrad{.name = "made_up_dgrad", .product = Product::dgrad, .weight_operand = 1};
const OpKind kMadeUpWgrad{
    .name = "made_up_wgrad", .product = Product::wgrad, .square_sums = made_up_sums};

void made_up_gradient(Gradients& gradients, const Op& op) {
  const Tensor dy = gradients.of(op.outputs[0]);
  const auto dw = gradients.into(op.inputs[1]);
  gradients.program().append(kMadeUpWgrad, {dy, op.inputs[0]}, {dw.tensor});
  if (const auto dx = gradients.into(op.inputs[0])) {
    gradients.program().append(kMadeUpDgrad, {dy, op.inputs[1]}, {dx.tensor});
  }
}

const OpKind kMadeUp{.name = "made_up",
                     .gradient = made_up_gradient,
                     .product = Product::forward,
                     .weight_operand = 1,
                     .codes_operand = 1};

// Gives a tensor a gradient: the end of a program.
void end_gradient(Gradients& gradients, const Op& op) { gradients.into(op.inputs[0]); }
const OpKind kEnd{.name = "end", .gradient = end_gradient, .forward_in_gradient = true};

// y = (x V^T) W^T in a layer, with its gradients where they are wanted.
struct TwoProducts {
  Program program;
  Tensor h, y;

  explicit TwoProducts(bool trained) {
    const At layer(program, Cursor{.layer = 0});
    const Tensor x = program.activation("x", {kRows, kColumns}, DType::bf16);
    h = product("h", x, trained);
    y = product("y", h, trained);
    if (!trained) return;
    program.append(kEnd, {y}, {});
    differentiate(program);
  }

  Tensor product(const std::string& name, Tensor from, bool trained) {
    const Shape shape{kColumns, kColumns};
    Weight weight{.name = name + ".weight", .shape = shape};
    weight.compute = program.persistent(weight.name, shape, DType::bf16, Role::weight);
    weight.value = {.form = StateForm::bf16, .values = weight.compute};
    weight.learning = trained ? Learning::gradient : Learning::frozen;
    if (trained) {
      weight.gradient.values =
          program.persistent(name + ".gradient", shape, DType::f32, Role::gradient);
    }
    const Tensor to = program.activation(name, {kRows, kColumns}, DType::bf16);
    program.append(kMadeUp, {from, program.add_weight(weight).compute}, {to});
    return to;
  }

  std::vector<const Op*> ops_of(const OpKind& kind) const {
    std::vector<const Op*> found;
    for (const Op& op : program.ops()) {
      if (op.kind == &kind) found.push_back(&op);
    }
    return found;
  }
};

TEST(AKindOfProduct, IsComputedInInt8AndSharesCodesOfAGradient) {
  TwoProducts model(/*trained=*/true);
  mark_int8_compute(model.program, kInt8);
  for (const OpKind* kind : {&kMadeUp, &kMadeUpDgrad, &kMadeUpWgrad}) {
    for (const Op* op : model.ops_of(*kind)) EXPECT_TRUE(op->attributes.flag("int8"));
  }
  // dy of the second product, which its wgrad and its dgrad start from.
  const Tensor codes = model.ops_of(kMadeUpDgrad).at(0)->inputs[0];
  EXPECT_EQ(model.program.dtype(codes), DType::i8);
  EXPECT_EQ(model.ops_of(kMadeUpWgrad).at(0)->inputs[0], codes);
}

TEST(AKindOfProduct, GetsItsWeightPackedForEitherDirection) {
  TwoProducts model(/*trained=*/true);
  EXPECT_EQ(pack_weights(model.program, 8), 3);
  for (const OpKind* kind : {&kMadeUp, &kMadeUpDgrad}) {
    for (const Op* op : model.ops_of(*kind)) EXPECT_TRUE(packed_weight_of(*op));
  }
}

TEST(AKindOfProduct, LeavesAsManySquareSumsAsItSays) {
  TwoProducts model(/*trained=*/true);
  std::vector<Tensor> gradients;
  for (const Weight& weight : model.program.weights()) gradients.push_back(weight.gradient.values);
  const NormOperands operands = leave_square_sums(model.program, gradients);
  EXPECT_TRUE(operands.gradients.empty());
  ASSERT_EQ(operands.sums.size(), 2u);
  EXPECT_EQ(model.program.info(operands.sums[0]).shape, Shape{kSums});
}

TEST(AKindOfProduct, ReadsActivationsRoundedWithoutBiasInItsWgradAlone) {
  TwoProducts model(/*trained=*/true);
  const std::vector<SavedActivation> saved = saved_activations(model.program);
  std::vector<Storage> storage(model.program.tensors().size(), Storage::keep);
  storage[model.h.id] = Storage::int8;
  store_activations(model.program, saved, storage);
  EXPECT_TRUE(model.ops_of(kQuantize).at(0)->attributes.flag("stochastic"));
}

TEST(AKindOfProduct, ReadsItsWeightAsCodesInGeneration) {
  TwoProducts model(/*trained=*/false);
  store_weights_in_int8(model.program);
  for (const Op* op : model.ops_of(kMadeUp)) {
    EXPECT_EQ(model.program.dtype(op->inputs[1]), DType::i8);
    EXPECT_EQ(model.program.dtype(op->inputs.at(2)), DType::f32) << "the scales";
  }
}

const OpKind kChoose{.name = "choose", .exact_operand = 0};

TEST(AKindThatDecides, KeepsTheWeightOfWhatItReadsExact) {
  TwoProducts model(/*trained=*/false);
  model.program.append(kChoose, {model.y}, {});
  store_weights_in_int8(model.program);
  const auto products = model.ops_of(kMadeUp);
  EXPECT_EQ(model.program.dtype(products[0]->inputs[1]), DType::i8);
  EXPECT_EQ(model.program.dtype(products[1]->inputs[1]), DType::bf16);
}

const OpKind kMadeUpHead{.name = "made_up_head", .product = Product::head, .weight_operand = 1};

TEST(AKindOfHead, HasAChunkAndIsComputedInInt8WhereTheConfigSaysSo) {
  Program program;
  const Tensor x = program.activation("x", {kRows, kColumns}, DType::bf16);
  const Tensor weight = program.persistent("w", {512, kColumns}, DType::bf16, Role::weight);
  program.append(kMadeUpHead, {x, weight}, {}, {{"chunk_rows", kRows}});
  EXPECT_EQ(head_chunk(program), kRows);
  mark_int8_compute(program, {.compute = ComputeType::int8, .head = HeadType::int8});
  EXPECT_TRUE(program.ops()[0].attributes.flag("int8"));
}

const OpKind kRowWise{
    .name = "made_up_row_wise", .codes_operand = 0, .writes_codes = true, .row_wise = true};

TEST(ARowWiseKind, ReadsAndWritesCodesWithinTheOp) {
  Program program;
  const auto rows = [&](const char* name) {
    return program.activation(name, {kRows, kColumns}, DType::bf16);
  };
  const Tensor restored = rows("restored"), made = rows("made");
  const Quantized saved = quantize(program, rows("x"));
  dequantize(program, saved, restored);
  program.append(kRowWise, {restored}, {made});
  quantize(program, made);
  fuse_codes(program);
  ASSERT_EQ(program.ops().size(), 2u) << "quantizing x, which nothing makes, and the op";
  const Op& op = program.ops()[1];
  EXPECT_EQ(op.inputs[0], saved.codes);
  EXPECT_TRUE(codes_of(op, CodesOf::output));
  EXPECT_FALSE(op.outputs[0]) << "nothing reads the values";
}

TEST(ARowWiseKind, SavesCodesOfWhatItReads) {
  Program program;
  const Tensor x = program.activation("x", {kRows, kColumns}, DType::bf16);
  program.append(kRowWise, {x}, {program.activation("made", {kRows, kColumns}, DType::bf16)});
  quantize(program, x);
  fuse_codes(program);
  ASSERT_EQ(program.ops().size(), 1u);
  EXPECT_TRUE(codes_of(program.ops()[0], CodesOf::input));
}

}  // namespace
}  // namespace ingot
