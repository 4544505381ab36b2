#include "ops/quantize/row_codes.h"

#include <string>

#include "ops/quantize/quantize.h"

namespace ingot {
namespace {

constexpr const char *kGroupRead = "group_read", *kDropped = "dropped_dtype";

std::string attribute(CodesOf which, const char* name) {
  return std::string(which == CodesOf::input ? "input_" : "output_") + name;
}

}  // namespace

RowCodes codes_of(const Op& quantize) {
  return {.group = quantize.attributes.integer("group"),
          .stochastic = quantize.attributes.flag("stochastic")};
}

std::optional<RowCodes> codes_of(const Op& op, CodesOf which) {
  if (!op.attributes.has(attribute(which, "codes"))) return std::nullopt;
  return RowCodes{.codes = static_cast<int>(op.attributes.integer(attribute(which, "codes"))),
                  .group = op.attributes.integer(attribute(which, "group")),
                  .stochastic = op.attributes.flag(attribute(which, "stochastic"))};
}

void add_codes(Op& op, CodesOf which, const Op& quantize) {
  op.attributes.set(attribute(which, "codes"), static_cast<double>(op.outputs.size()));
  for (const char* name : {"group", "stochastic"}) {
    op.attributes.set(attribute(which, name), quantize.attributes.real(name));
  }
  op.outputs.insert(op.outputs.end(), quantize.outputs.begin(), quantize.outputs.end());
}

void read_codes(Op& op, std::size_t operand, const Op& dequantize) {
  op.inputs[operand] = dequantize.inputs[0];
  op.inputs.push_back(dequantize.inputs[1]);
  op.attributes.set(kGroupRead, dequantize.attributes.real("group"));
}

std::int64_t group_read(const Op& op) {
  return op.attributes.integer(op.kind == &kDequantize ? "group" : kGroupRead);
}

void drop_values(const Program& program, Op& op) {
  op.attributes.set(kDropped, static_cast<double>(program.dtype(op.outputs[0])));
  op.outputs[0] = {};
}

DType values_dtype(const Program& program, const Op& op) {
  return op.outputs[0] ? program.dtype(op.outputs[0])
                       : static_cast<DType>(op.attributes.integer(kDropped));
}

Tensor rows_made(const Op& op) {
  return op.outputs[0] ? op.outputs[0] : op.outputs[codes_of(op, CodesOf::output)->codes];
}

}  // namespace ingot
