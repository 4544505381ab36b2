#include "engine/int8_compute.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "memory/rewrite_ops.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/quantize/quantize.h"

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

const Product* product_of(const Op& op) {
  const auto found = std::ranges::find(kProducts, op.kind->name, &Product::kind);
  return found == std::end(kProducts) ? nullptr : found;
}

// The head with its loss. Its fp32 logits and gradients are chunks inside the op.
void mark_head(const Program& program, Op& op, const PrecisionConfig& config) {
  const bool few = op.attributes.integer("chunk_rows") < kFewestRows;
  if (config.head != HeadType::int8 || few || program.dtype(op.inputs[0]) == DType::f32) return;
  op.attributes.set("int8", 1);
  op.attributes.set("int8_block", static_cast<double>(config.int8_scales));
  op.attributes.set("int8_wgrad", config.wgrad == WgradType::int8);
}

bool writes(const Op& op, Tensor t) {
  return std::ranges::any_of(op.outputs, [&](Tensor output) { return output.id == t.id; });
}

// The int8 products from op `first` on whose first operand is that of `first`, as it is then.
std::vector<std::size_t> products_of_one_operand(std::span<const Op> ops, std::size_t first) {
  const Tensor operand = ops[first].inputs[0];
  std::vector<std::size_t> products;
  for (std::size_t i = first; i < ops.size() && ops[i].part == ops[first].part; ++i) {
    const Op& op = ops[i];
    const bool same =
        !op.inputs.empty() && op.inputs[0] == operand;  // first: rare, and cheap to see
    if (same && product_of(op) != nullptr && op.attributes.flag("int8")) products.push_back(i);
    if (writes(op, operand)) break;
  }
  return products;
}

// Quantizes what several products start from once, in an op of its own: they take its codes then.
// With blocks along the depth dgrad and wgrad need different codes, so only with whole rows.
void share_codes(Program& program) {
  constexpr std::int64_t kLongest = 1 << 16;  // of a sum in int32 (backends/cpu/int8_matmul.h)
  const auto can_share = [&](const Op& op) {
    if (!op.attributes.flag("int8") || op.attributes.integer("int8_block") != 0) return false;
    const Tensor operand = op.inputs[0];
    return is_float(program.dtype(operand)) && operand.columns % 4 == 0 &&
           operand.columns <= kLongest;
  };
  rewrite_ops(program, [&](std::vector<Op>& ops, std::size_t i) {
    const std::vector<std::size_t> products =
        can_share(ops[i]) ? products_of_one_operand(ops, i) : std::vector<std::size_t>{};
    if (products.size() > 1 && products.front() == i) {
      const Tensor operand = ops[i].inputs[0];
      const Quantized quantized = quantize(program, operand,
                                           {.group = (operand.columns + 31) / 32 * 32,
                                            .stochastic = ops[i].attributes.flag("stochastic")});
      for (const std::size_t product : products) {
        ops[product].inputs[0] = quantized.codes;
        ops[product].inputs.push_back(quantized.scales);
        ops[product].attributes.set("stochastic", 0);
      }
    }
    program.append(std::move(ops[i]));
  });
}

}  // namespace

void mark_int8_compute(Program& program, const PrecisionConfig& config) {
  if (config.compute != ComputeType::int8) return;
  for (Op& op : program.ops()) {
    if (op.kind == &kCrossEntropy || op.kind == &kCrossEntropyBackward) {
      mark_head(program, op, config);
    }
    const Product* product = product_of(op);
    if (product == nullptr || op.layer < 0) continue;
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
  share_codes(program);
}

}  // namespace ingot
