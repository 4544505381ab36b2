// Weights of a program that only generates, in 8 bits: half the bytes that a token has to read.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// Turns the matrices that are only multiplied with or looked up in (linear, grouped_linear,
// embedding) into quantizer codes with a scale for each 128 elements of a row; the products then
// quantize their other operand likewise and are computed in int8. Routers, norms and what attention
// absorbs stay as they are. For finished programs without gradients, before they are bound; weights
// that are loaded later are rounded to nearest.
void store_weights_in_int8(Program& program);

}  // namespace ingot
