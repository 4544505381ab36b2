#include "ops/quantize/row_codes_cpu.h"

#include "engine/numbers/quantizer.h"

namespace ingot::cpu {

RowQuantizer::RowQuantizer(const Program& program, const Op& op,
                           const std::optional<RowCodes>& codes, DType values, Isa isa) {
  if (!codes) return;
  spec_ = *codes;
  const Tensor to = op.outputs[spec_.codes], scales = op.outputs[spec_.codes + 1];
  stream_ = program.stream(to);
  columns_ = to.columns;
  codes_stride_ = program.row_stride(to);
  scales_stride_ = program.row_stride(scales);
  nearest_ = quantizer_kernels(isa).quantize[float_index(values)];
  stochastic_ = quantizer_kernels(isa).quantize_stochastic[float_index(values)];
}

std::uint64_t RowQuantizer::key(const KernelArguments& arguments) const {
  if (!*this) return 0;
  const StepState& step = *arguments.step;
  return rounding_key(step.seed, step.step, step.micro_batch, stream_);
}

void RowQuantizer::operator()(const KernelArguments& arguments, std::uint64_t key, std::int64_t row,
                              const void* values) const {
  std::int8_t* codes = arguments.output<std::int8_t>(spec_.codes) + row * codes_stride_;
  float* scales = arguments.output<float>(spec_.codes + 1) + row * scales_stride_;
  if (spec_.stochastic) {
    stochastic_(values, columns_, spec_.group, codes, scales, rounding_row_key(key, row));
  } else {
    nearest_(values, columns_, spec_.group, codes, scales);
  }
}

RowReader::RowReader(const Program& program, const Op& op, int operand, DType values, Isa isa)
    : operand_(operand),
      scales_(static_cast<int>(op.inputs.size()) - 1),
      values_(values),
      columns_(op.inputs[operand].columns),
      stride_(program.row_stride(op.inputs[operand]) * size_of(program.dtype(op.inputs[operand]))) {
  if (program.dtype(op.inputs[operand]) != DType::i8) return;
  scales_stride_ = program.row_stride(op.inputs[scales_]);
  group_ = group_read(op);
  dequantize_ = quantizer_kernels(isa).dequantize[float_index(values)];
}

const std::byte* RowReader::operator()(const KernelArguments& arguments, std::int64_t row,
                                       std::byte* scratch) const {
  const std::byte* from = arguments.inputs[operand_] + row * stride_;
  if (!coded()) return from;
  dequantize_(reinterpret_cast<const std::int8_t*>(from),
              arguments.input<float>(scales_) + row * scales_stride_, columns_, group_, scratch);
  return scratch;
}

RowWriter::RowWriter(const Program& program, const Op& op, Isa isa)
    : quantize_(program, op, codes_of(op, CodesOf::output), values_dtype(program, op), isa),
      row_bytes_(rows_made(op).columns * size_of(values_dtype(program, op))) {
  if (op.outputs[0])
    stride_ = program.row_stride(op.outputs[0]) * size_of(program.dtype(op.outputs[0]));
}

}  // namespace ingot::cpu
