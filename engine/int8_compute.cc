#include "engine/int8_compute.h"

#include <algorithm>
#include <string_view>

#include "ops/cross_entropy/cross_entropy.h"

namespace ingot {
namespace {

// Quantizing a weight costs as much as some 50 rows of the product save.
constexpr std::int64_t kFewestRows = 64;

struct Product {
  std::string_view kind;
  bool of_gradient;  // the first operand is one
  bool wgrad;
};
constexpr Product kProducts[] = {
    {"linear", false, false},
    {"linear_dgrad", true, false},
    {"linear_wgrad", true, true},
    {"grouped_linear", false, false},
    {"grouped_linear_dgrad", true, false},
    {"grouped_linear_wgrad", true, true},
};

// The head with its loss. Its fp32 logits and gradients are chunks inside the op.
void mark_head(const Program& program, Op& op, const PrecisionConfig& config) {
  const bool few = op.attributes.integer("chunk_rows") < kFewestRows;
  if (config.head != HeadType::int8 || few || program.dtype(op.inputs[0]) == DType::f32) return;
  op.attributes.set("int8", 1);
  op.attributes.set("int8_block", static_cast<double>(config.int8_scales));
  op.attributes.set("int8_wgrad", config.wgrad == WgradType::int8);
}

}  // namespace

void mark_int8_compute(Program& program, const PrecisionConfig& config) {
  if (config.compute != ComputeType::int8) return;
  for (Op& op : program.ops()) {
    if (op.kind == &kCrossEntropy || op.kind == &kCrossEntropyBackward) {
      mark_head(program, op, config);
    }
    const auto product = std::ranges::find(kProducts, op.kind->name, &Product::kind);
    if (product == std::end(kProducts) || op.layer < 0) continue;
    if (product->wgrad && config.wgrad != WgradType::int8) continue;
    const Tensor a = op.inputs[0], b = op.inputs[1], c = op.outputs[0];
    const DType dtype = program.dtype(a);
    const bool one_type = dtype != DType::f32 && program.dtype(b) == dtype &&
                          (product->wgrad || program.dtype(c) == dtype);
    if (!one_type || program.rows(a) < kFewestRows) continue;
    op.attributes.set("int8", 1);
    op.attributes.set("int8_block", static_cast<double>(config.int8_scales));
    if (product->of_gradient) op.attributes.set("stochastic", 1);
  }
}

}  // namespace ingot
