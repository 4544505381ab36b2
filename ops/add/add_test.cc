#include "ops/add/add.h"

#include <gtest/gtest.h>

#include "engine/program/autodiff.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

// y = x + residual, where both gradients are dy: exercises add_into both ways.
void sum_gradient(Gradients& gradients, const Op& op) {
  const Tensor dy = gradients.of(op.outputs[0]);
  const auto dx = gradients.into(op.inputs[0]);
  add_into(gradients.program(), dy, dx.tensor, dx.accumulate);
}
const OpKind kCopy{.name = "add_into", .gradient = sum_gradient};

TEST(AddInto, OverwritesAndAccumulatesInEveryDType) {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    OpCheck check(dtype, {});
    const Tensor x = check.leaf("x", {3, 65});
    for (int use = 0; use < 2; ++use) {  // two consumers: the second gradient accumulates
      const Tensor y = check.program().activation("y", {3, 65}, dtype);
      check.program().append(kCopy, {x}, {y}, {{"accumulate", 0}});
      check.output(y);
    }
    check.run();
    // The sum of two bf16 numbers below 1 is rounded once: half a unit of 8 bits, 2^-8.
    const double tolerance = dtype == DType::f32 ? 1e-6 : 1.0 / 256;
    check.expect_matches(
        [](const Leaves& leaves) {
          std::vector<double> twice = leaves[0];
          twice.insert(twice.end(), leaves[0].begin(), leaves[0].end());
          return twice;
        },
        {.value = 0, .gradient = tolerance});
  }
}

}  // namespace
}  // namespace ingot
