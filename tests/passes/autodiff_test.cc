#include "engine/program/autodiff.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "memory/lifetimes.h"
#include "ops/linear/linear.h"
#include "ops/rms_norm/rms_norm.h"

namespace ingot {
namespace {

Tensor trained(Program& program, std::string_view name, Shape shape) {
  const Tensor tensor = program.persistent(name, shape, DType::f32, Role::weight);
  program.add_weight(
      {.value = {.values = tensor},
       .gradient = {.values = program.persistent("gradient", shape, DType::f32, Role::gradient)},
       .compute = tensor});
  return tensor;
}

// Gives a tensor a gradient: the end of a program.
void end_gradient(Gradients& gradients, const Op& op) { gradients.into(op.inputs[0]); }
const OpKind kEnd{.name = "end", .gradient = end_gradient, .forward_in_gradient = true};

std::vector<std::string> names(std::span<const Op> ops) {
  std::vector<std::string> result;
  for (const Op& op : ops) result.emplace_back(op.kind->name);
  return result;
}

TEST(Autodiff, AResidualStreamHasOneGradientBufferFromEndToStart) {
  Program program;
  const Tensor h0 =
      linear(program, program.activation("x", {5, 8}, DType::f32), trained(program, "w0", {8, 8}));
  Tensor h = h0;
  for (int layer = 0; layer < 3; ++layer) {
    const Tensor x = rms_norm(program, h, trained(program, "gain", {8}));
    h = linear(program, x, trained(program, "w", {8, 8}), {.residual = h});
  }
  program.append(kEnd, {h}, {});
  const std::size_t before = program.tensors().size();
  differentiate(program);
  int stream_buffers = 0;
  for (std::size_t id = before; id < program.tensors().size(); ++id) {
    if (program.tensors()[id].name.find("norm") == std::string::npos) ++stream_buffers;
  }
  EXPECT_EQ(stream_buffers, 1);
  // Every rms_norm_backward adds to the stream's gradient, which the layer above left there.
  for (const Op& op : program.ops()) {
    if (op.kind != &kRmsNormBackward) continue;
    EXPECT_TRUE(op.attributes.flag("accumulate"));
  }
}

TEST(Autodiff, RunsBackwardInReverseAndSkipsWhatNothingIsLearnedFrom) {
  Program program;
  const Tensor x = program.activation("input", {5, 8}, DType::f32);
  const Tensor y = linear(program, x, trained(program, "w1", {6, 8}));
  program.append(kEnd, {linear(program, y, trained(program, "w2", {7, 6}))}, {});
  differentiate(program);
  // No dgrad for the first product: its input is data. "end" is gone.
  EXPECT_EQ(names(program.ops()), (std::vector<std::string>{"linear", "linear", "linear_wgrad",
                                                            "linear_dgrad", "linear_wgrad"}));
  EXPECT_EQ(program.ops()[0].phase, Phase::forward);
  EXPECT_EQ(program.ops()[4].phase, Phase::backward);
}

TEST(Autodiff, OnlyTheFirstOpOfAWeightsGradientStartsTheSum) {
  Program program;
  const Tensor w = trained(program, "w", {8, 8}), once = trained(program, "once", {8, 8});
  Tensor h = linear(program, program.activation("x", {5, 8}, DType::f32), w);
  h = linear(program, linear(program, h, once), w);
  program.append(kEnd, {h}, {});
  differentiate(program);
  std::vector<bool> first;
  for (const Op& op : program.ops()) {
    if (op.kind == &kLinearWgrad) first.push_back(op.attributes.flag("first"));
  }
  EXPECT_EQ(first, (std::vector<bool>{true, true, false}));  // w, once, w
}

TEST(Autodiff, RefusesAGradientThatIsWrittenInSomeColumnsOnly) {
  Program program;
  const Tensor y =
      linear(program, program.activation("x", {5, 8}, DType::f32), trained(program, "w", {6, 8}));
  program.append(kEnd, {y.slice(0, 3)}, {});
  EXPECT_THROW(differentiate(program), std::logic_error);
}

TEST(Lifetimes, CoverEveryUseAndWholePartsWhereAsked) {
  Program program;
  program.begin(Part::micro_step);
  const Tensor x = program.add_tensor({.name = "x", .shape = {2, 4}, .lifetime = Lifetime::parts});
  const Tensor w = trained(program, "w", {4, 4});
  const Tensor a = linear(program, x, w);
  const Tensor b = linear(program, a, w);
  const Tensor c = linear(program, a, w, {.residual = b});
  program.begin(Part::evaluation);
  const Tensor d = linear(program, x, w);
  const Lifetimes lives = lifetimes(program);
  const auto life_of = [&](Tensor t) {
    for (std::size_t i = 0; i < lives.owners.size(); ++i) {
      if (lives.owners[i].tensor == t.id)
        return std::pair(lives.buffers[i].first, lives.buffers[i].last);
    }
    return std::pair<std::int64_t, std::int64_t>(-1, -1);
  };
  EXPECT_EQ(life_of(x), std::pair(std::int64_t{0}, std::int64_t{3}));
  EXPECT_EQ(life_of(w), std::pair(std::int64_t{0}, std::int64_t{3}));
  EXPECT_EQ(life_of(a), std::pair(std::int64_t{0}, std::int64_t{2}));
  EXPECT_EQ(life_of(b), std::pair(std::int64_t{1}, std::int64_t{2}));
  EXPECT_EQ(life_of(c), std::pair(std::int64_t{2}, std::int64_t{2}));
  EXPECT_EQ(life_of(d), std::pair(std::int64_t{3}, std::int64_t{3}));
}

}  // namespace
}  // namespace ingot
