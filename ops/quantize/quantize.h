// Tensors stored in 8 bits: codes and scales of engine/numbers/quantizer.h, for saved activations,
// weights and messages. Passes over a finished program insert these ops; no gradient flows through
// them.
#pragma once

#include "engine/numbers/quantizer.h"
#include "engine/program/program.h"

namespace ingot {

struct Quantized {
  Tensor codes;   // i8, the shape of the values (of the view)
  Tensor scales;  // f32 [rows, quantizer_groups(columns, group)]
};

struct QuantizeOptions {
  std::int64_t group = kQuantizerGroup;  // neighbours in a row that share a scale; a multiple of 32
  // Round up or down at random, without bias: for gradients and what wgrad reads. The draws depend
  // on seed, step, micro-step, the stream of the values' tensor and the place in it, nothing else.
  bool stochastic = false;
};

// values: f32, bf16 or f16, may be a column slice. Creates codes and scales (activations).
Quantized quantize(Program& program, Tensor values, const QuantizeOptions& options = {});

// Into given tensors; codes may be a column slice too.
void quantize(Program& program, Tensor values, const Quantized& into,
              const QuantizeOptions& options = {});

// values (overwritten): f32, bf16 or f16, may be a column slice; code * scale, rounded once.
void dequantize(Program& program, const Quantized& quantized, Tensor values,
                std::int64_t group = kQuantizerGroup);

//   quantize     inputs values          outputs codes, scales   attributes group, stochastic
//   dequantize   inputs codes, scales   outputs values          attribute group
// Codes take over the stream of their values (TensorInfo::stream): draws are made by it.
extern const OpKind kQuantize, kDequantize;

}  // namespace ingot
