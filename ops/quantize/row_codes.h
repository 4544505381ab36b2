// Codes as part of row-wise ops (norms, SwiGLU): what such an op reads or writes is quantized or
// dequantized row by row while a row is in the cache, rather than by an op of its own that moves
// the whole tensor through memory once more. The bits are the same. compress/passes/fuse_codes.h
// puts them there; kernels of such ops use ops/quantize/row_codes_cpu.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "engine/program/program.h"

namespace ingot {

// Whose rows an op quantizes besides what it does: those of inputs[0] or of outputs[0]. Codes and
// scales are two more outputs; outputs[0] may then be none, where only its codes are wanted.
enum class CodesOf : std::uint8_t { input, output };

struct RowCodes {
  int codes = 0;           // index in the op's outputs; the scales follow
  std::int64_t group = 0;  // as in QuantizeOptions
  bool stochastic = false;
};

// What a kQuantize op writes.
RowCodes codes_of(const Op& quantize);
// What an op writes besides; none if nothing was added.
std::optional<RowCodes> codes_of(const Op& op, CodesOf which);
// Makes `op` write what the kQuantize op `quantize` writes, of the same tensor.
void add_codes(Op& op, CodesOf which, const Op& quantize);

// Makes `op` read inputs[operand], which the kDequantize op `dequantize` would write, as codes:
// inputs[operand] becomes the codes, the scales are the last input. For one operand of an op.
void read_codes(Op& op, std::size_t operand, const Op& dequantize);
// Columns that share a scale in what a kDequantize op, or one with read_codes(), reads.
std::int64_t group_read(const Op& op);

// Makes outputs[0] none: only its codes are wanted.
void drop_values(const Program& program, Op& op);
// The dtype of outputs[0], dropped or not, and a tensor of its shape: itself, or its codes.
DType values_dtype(const Program& program, const Op& op);
Tensor rows_made(const Op& op);

}  // namespace ingot
