// SwiGLU (Shazeer 2020): h = silu(gate) * up, silu(z) = z sigmoid(z); for experts, each row also
// times its routing weight, so that the experts' outputs need not be kept for the weight's
// gradient.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// gate_up [rows, 2 * width], the gate's columns first. Returns h [rows, width], same dtype.
// row_weight: null, or [rows, 1] f32: h = silu(gate) * up * row_weight.
// row_count: null, or [1] i32: how many rows are in use, known at run time only; later rows are
//   neither read nor written.
// Backward keeps gate_up and row_weight only; d_row_weight = <dh, silu(gate) * up>, in fp32.
Tensor swiglu(Program& program, Tensor gate_up, Tensor row_weight = {}, Tensor row_count = {});

//   swiglu            inputs gate_up, row_weight?, row_count?       outputs h
//   swiglu_backward   inputs dh, gate_up, row_weight?, row_count?
//                     outputs d_gate_up, d_row_weight?, h? (once more, the same bits)
//                     attributes accumulate, accumulate_weight
// gate_up may come in codes, and codes of gate_up and of outputs[0] may be made on the way
// (ops/quantize/row_codes.h).
extern const OpKind kSwiglu, kSwigluBackward;

}  // namespace ingot
