// precision.compute = "int8": which products of a program are computed in int8.
#pragma once

#include "engine/config/config.h"
#include "engine/program/program.h"

namespace ingot {

// Sets the attributes "int8" and, where the first operand is a gradient, "stochastic" on products
// of linear() and grouped_linear() within layers: forward, dgrad, and wgrad when the config says
// so; on the head's too when config.head says so. What stays in higher precision: routers, norms,
// attention, the embedding (outside of layers, or not of one 16-bit type), and products of few rows
// (decoding), where quantizing the weights would take longer than the product. Nothing unless
// config.compute is int8.
// With scales of whole rows, what several products start from, a gradient above all, is quantized
// once by an op of its own: dx and dW share its codes (Int8MatmulSpec::a_coded).
void mark_int8_compute(Program& program, const PrecisionConfig& config);

}  // namespace ingot
