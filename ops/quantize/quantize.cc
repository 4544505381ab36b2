#include "ops/quantize/quantize.h"

#include <stdexcept>

namespace ingot {
namespace {

void check(const Program& program, Tensor values, const Quantized& quantized, std::int64_t group) {
  const auto refuse = [&](const char* what) {
    throw std::logic_error("quantize " + program.info(values).name + ": " + what);
  };
  if (group < 32 || group % 32 != 0) refuse("group is no multiple of 32");
  if (!is_float(program.dtype(values))) refuse("values are no floats");
  if (program.dtype(quantized.codes) != DType::i8 ||
      program.rows(quantized.codes) != program.rows(values) ||
      quantized.codes.columns != values.columns) {
    refuse("codes do not fit the values");
  }
  if (program.dtype(quantized.scales) != DType::f32 ||
      program.rows(quantized.scales) != program.rows(values) ||
      quantized.scales.columns != quantizer_groups(values.columns, group)) {
    refuse("scales do not fit the values");
  }
}

}  // namespace

const OpKind kQuantize{.name = "quantize", .row_wise = true, .reads_step = true};
const OpKind kDequantize{.name = "dequantize", .row_wise = true};

Quantized quantize(Program& program, Tensor values, const QuantizeOptions& options) {
  if (options.group < 1) throw std::logic_error("quantize: group is no multiple of 32");
  const std::string name = program.info(values).name;
  const std::int64_t rows = program.rows(values);
  const Quantized quantized = {
      program.activation(name + ".codes", {rows, values.columns}, DType::i8),
      program.activation(name + ".scales", {rows, quantizer_groups(values.columns, options.group)},
                         DType::f32)};
  quantize(program, values, quantized, options);
  return quantized;
}

void quantize(Program& program, Tensor values, const Quantized& into,
              const QuantizeOptions& options) {
  check(program, values, into, options.group);
  program.info(into.codes).stream = program.stream(values);
  program.append(
      kQuantize, {values}, {into.codes, into.scales},
      {{"group", static_cast<double>(options.group)}, {"stochastic", options.stochastic}});
}

void dequantize(Program& program, const Quantized& quantized, Tensor values, std::int64_t group) {
  check(program, values, quantized, group);
  program.append(kDequantize, {quantized.codes, quantized.scales}, {values},
                 {{"group", static_cast<double>(group)}});
}

}  // namespace ingot
