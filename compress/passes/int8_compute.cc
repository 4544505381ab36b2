#include "compress/passes/int8_compute.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/program/rewrite_ops.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/dispatch/dispatch.h"
#include "ops/quantize/quantize.h"

namespace ingot {
namespace {

// Quantizing a weight costs as much as some 50 rows of the product save.
constexpr std::int64_t kFewestRows = 64;

bool is_wgrad(const Op& op) { return op.kind->product == Product::wgrad; }
// Those whose first operand is a gradient.
bool is_gradient_product(const Op& op) {
  return op.kind->product == Product::dgrad || is_wgrad(op);
}
bool is_product(const Op& op) {
  return op.kind->product == Product::forward || is_gradient_product(op);
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

bool reads(const Op& op, Tensor t) {
  return std::ranges::any_of(op.inputs, [&](Tensor input) { return input.id == t.id; });
}

// Quantizes the first operand of int8 products in ops of their own: once where several products
// start from it, a gradient above all; within the op that makes it, where that can do so
// (compress/passes/fuse_codes.h); and before the rows are sent to their experts, where only
// products read them there. With blocks along the depth dgrad and wgrad need different codes, so
// only with scales of whole rows.
class CodeSharing {
 public:
  explicit CodeSharing(Program& program) : program_(program) {}

  void run() {
    rewrite_ops(program_, [this](std::vector<Op>& ops, std::size_t i) {
      if (is_permuted_for_products(ops, i)) return permute_codes(ops, i);
      if (takes_codes(ops[i])) share(ops, i);
      program_.append(std::move(ops[i]));
    });
  }

 private:
  // Whether an op is an int8 product whose first operand may become codes.
  bool takes_codes(const Op& op) const {
    constexpr std::int64_t kLongest = 1 << 16;  // of a sum in int32 (backends/cpu/int8_matmul.h)
    if (!op.attributes.flag("int8") || op.attributes.integer("int8_block") != 0) return false;
    const Tensor operand = op.inputs[0];
    return is_product(op) && is_float(program_.dtype(operand)) && operand.columns % 4 == 0 &&
           operand.columns <= kLongest;
  }

  // The products from op `first` on whose first operand is this one, as it is then.
  std::vector<std::size_t> products_of(std::span<const Op> ops, std::size_t first,
                                       Tensor operand) const {
    std::vector<std::size_t> products;
    for (std::size_t i = first; i < ops.size() && ops[i].part == ops[first].part; ++i) {
      const Op& op = ops[i];
      const bool same =
          !op.inputs.empty() && op.inputs[0] == operand;  // first: rare, and cheap to see
      if (same && takes_codes(op)) products.push_back(i);
      if (writes(op, operand)) break;
    }
    return products;
  }

  Quantized quantize_rows(Tensor operand, bool stochastic) {
    return quantize(program_, operand,
                    {.group = (operand.columns + 31) / 32 * 32, .stochastic = stochastic});
  }

  void take_codes(Op& product, const Quantized& quantized) const {
    product.inputs[0] = quantized.codes;
    product.inputs.push_back(quantized.scales);
    product.attributes.set("stochastic", 0);
    set_cost(program_, product);
  }

  // Whether the op that wrote this operand last can write its codes as well.
  bool is_made_with_codes(Tensor operand) const {
    const std::span<const Op> before = std::as_const(program_).ops();
    const auto maker = std::find_if(before.rbegin(), before.rend(),
                                    [&](const Op& op) { return writes(op, operand); });
    return maker != before.rend() && maker->part == program_.part() && maker->kind->writes_codes &&
           maker->outputs[0] == operand;
  }

  void share(std::vector<Op>& ops, std::size_t i) {
    const Tensor operand = ops[i].inputs[0];
    const std::vector<std::size_t> products = products_of(ops, i, operand);
    if (products.size() < 2 && !is_made_with_codes(operand)) return;
    const Quantized quantized = quantize_rows(operand, ops[i].attributes.flag("stochastic"));
    for (const std::size_t product : products) take_codes(ops[product], quantized);
  }

  // Whether the op permutes rows that then are first operands of int8 products, and nothing else.
  bool is_permuted_for_products(const std::vector<Op>& ops, std::size_t i) const {
    const Op& op = ops[i];
    if (op.kind != &kPermute || op.attributes.flag("accumulate")) return false;
    const Tensor rows = op.outputs[0];
    std::size_t readers = 0;
    for (std::size_t j = i + 1; j < ops.size() && ops[j].part == op.part; ++j) {
      readers += reads(ops[j], rows);
      if (writes(ops[j], rows)) break;
    }
    return readers > 0 && products_of(ops, i + 1, rows).size() == readers;
  }

  void permute_codes(std::vector<Op>& ops, std::size_t i) {
    const Op& op = ops[i];
    const Tensor rows = op.outputs[0];
    const std::vector<std::size_t> products = products_of(ops, i + 1, rows);
    const Quantized tokens =
        quantize_rows(op.inputs[0], ops[products[0]].attributes.flag("stochastic"));
    for (const std::size_t product : products_of(ops, i, op.inputs[0])) {
      take_codes(ops[product], tokens);
    }
    const auto permuted = [&](Tensor from, const char* name, DType dtype) {
      const Tensor to = program_.activation(program_.info(rows).name + name,
                                            {program_.rows(rows), from.columns}, dtype);
      Op copy = op;
      copy.inputs[0] = from;
      copy.outputs[0] = to;
      set_cost(program_, copy);
      program_.append(std::move(copy));
      return to;
    };
    const Quantized sent{permuted(tokens.codes, ".codes", DType::i8),
                         permuted(tokens.scales, ".scales", DType::f32)};
    for (const std::size_t product : products) take_codes(ops[product], sent);
  }

  Program& program_;
};

}  // namespace

void mark_int8_compute(Program& program, const PrecisionConfig& config) {
  if (config.compute != ComputeType::int8) return;
  for (Op& op : program.ops()) {
    if (is_head(op)) mark_head(program, op, config);
    if (!is_product(op) || op.layer < 0) continue;
    if (is_wgrad(op) && config.wgrad != WgradType::int8) continue;
    const Tensor a = op.inputs[0], b = op.inputs[1], c = op.outputs[0];
    const DType dtype = program.dtype(a);
    const bool one_type = dtype != DType::f32 && program.dtype(b) == dtype &&
                          (is_wgrad(op) || program.dtype(c) == dtype);
    if (!one_type || program.rows(a) < kFewestRows) continue;
    op.attributes.set("int8", 1);
    op.attributes.set("int8_block", static_cast<double>(config.int8_scales));
    if (is_gradient_product(op)) op.attributes.set("stochastic", 1);
  }
  CodeSharing(program).run();
}

}  // namespace ingot
