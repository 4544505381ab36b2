// The sum of tensors over the ranks of a group, on every one of them: what data-parallel ranks do
// with the gradients of their micro-batches.
#pragma once

#include <span>
#include <vector>

#include "engine/program/program.h"

namespace ingot {

// tensors: f32, bf16 or i32, whole; each becomes its sum over the ranks of the queue's group.
// Elements are added in fp32 in the order of the ranks, whatever the timing, and rounded once: all
// ranks get the same bits, and the same whichever tensors share an op. Every element's sum is made
// by one rank: of a tensor of n bytes (N - 1) / N n are sent and received twice. The op runs on the
// queue, beside compute.
Op& all_reduce(Program& program, std::span<const Tensor> tensors, Queue queue);

//   all_reduce   inputs tensors...   outputs the same
extern const OpKind kAllReduce;

}  // namespace ingot
