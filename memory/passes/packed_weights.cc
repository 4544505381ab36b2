#include "memory/passes/packed_weights.h"

#include <array>
#include <optional>
#include <vector>

#include "engine/program/rewrite_ops.h"
#include "ops/pack_weight/pack_weight.h"

namespace ingot {
namespace {

// In rows of a product, whose time they take whatever its other sizes are: packing its weight on
// its own, and what the product then saves, which packed it into the cache. Measured on Zen 4, 128
// to 2048 rows of weights that come from memory: 29-33 and 17-22 in bf16, 28-31 and 10-27 in fp32,
// 19-23 and 11-20 in fp16; 51-120 and 46-160 in int8, where it is quantizing.
struct PackingRows {
  double packing, saved;
};
constexpr PackingRows kFloats{33, 20}, kInt8{90, 55};
// A smaller share of the products' time is not worth the bytes.
constexpr double kLeastSaving = 0.02;
// Products of fewer rows may have kernels that read a weight as it lies.
constexpr double kFewestRows = 64;

// That read a weight.
bool is_product(const Op& op) {
  return op.kind->product == Product::forward || op.kind->product == Product::dgrad;
}

bool is_int8(const Op& op) { return op.attributes.flag("int8"); }

PackedFor layout_of(const Op& op) {
  return op.kind->product == Product::forward ? PackedFor::forward : PackedFor::dgrad;
}

Tensor weight_of(const Op& product) { return product.inputs[product.kind->weight_operand]; }

// For each matrix of its weight.
double rows_of(const Program& program, const Op& op) {
  const Shape& weight = program.info(weight_of(op)).shape;
  const double experts = weight.rank() == 3 ? static_cast<double>(weight[0]) : 1;
  return static_cast<double>(program.rows(op.inputs[0])) / experts;
}

bool can_be_packed(const Program& program, const Op& op) {
  if (op.part != Part::micro_step || !is_product(op)) return false;
  const Tensor a = op.inputs[0], weight = weight_of(op);
  const TensorInfo& info = program.info(weight);
  const bool one_type =
      program.dtype(op.outputs[0]) == info.dtype && (program.dtype(a) == info.dtype || is_int8(op));
  return info.role == Role::weight && info.lifetime == Lifetime::persistent &&
         info.place == Place::arena && is_float(info.dtype) && program.is_whole(weight) &&
         one_type && rows_of(program, op) >= kFewestRows;
}

// One weight and one way to use it.
struct Copy {
  double uses = 0, rows = 0;  // of all products in a micro-step
  Tensor packed;
  // Share of the products' time in a step that packing once saves.
  double saved(const PackingRows& in_rows, std::int64_t micro_steps) const {
    if (rows == 0) return 0;
    return (uses * in_rows.saved - in_rows.packing / static_cast<double>(micro_steps)) / rows;
  }
};

}  // namespace

int pack_weights(Program& program, std::int64_t micro_steps) {
  if (micro_steps < 2) return 0;
  std::vector<std::array<Copy, 4>> copies(program.tensors().size());  // by weight
  const auto copy_for = [&](const Op& op) -> Copy& {
    return copies[weight_of(op).id][static_cast<int>(layout_of(op)) + 2 * is_int8(op)];
  };
  for (const Op& op : program.ops()) {
    if (!can_be_packed(program, op)) continue;
    Copy& copy = copy_for(op);
    copy.uses += 1;
    copy.rows += rows_of(program, op);
  }
  int packed = 0;
  rewrite_ops(program, [&](std::vector<Op>& ops, std::size_t i) {
    Op& op = ops[i];
    if (can_be_packed(program, op)) {
      Copy& copy = copy_for(op);
      const double saved = copy.saved(is_int8(op) ? kInt8 : kFloats, micro_steps);
      if (saved >= kLeastSaving) {
        if (!copy.packed) {
          const auto block =
              is_int8(op) ? std::optional(op.attributes.integer("int8_block")) : std::nullopt;
          copy.packed = pack_weight(program, weight_of(op), layout_of(op), block);
          ++packed;
        }
        use_packed_weight(op, copy.packed, saved);
      }
    }
    program.append(std::move(op));
  });
  return packed;
}

}  // namespace ingot
