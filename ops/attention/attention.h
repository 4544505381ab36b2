// Causal scaled dot product attention over whole sequences, for training and evaluation. Scores
// never exist as a [sequence, sequence] matrix, neither forward nor backward.
#pragma once

#include <cstdint>

#include "engine/program/program.h"

namespace ingot {

// Where the heads of an operand lie: head h of a token has the columns [offset + h * stride,
// + size) of `tensor`, a [tokens, columns] activation (or a column slice of one).
struct AttentionHeads {
  Tensor tensor;
  std::int64_t offset = 0, stride = 0, size = 0;
};

struct AttentionOptions {
  std::int64_t batch = 1;
  std::int64_t sequence = 1;  // tokens = batch * sequence
  std::int64_t query_heads = 1;
  std::int64_t key_value_heads = 1;  // divides query_heads: consecutive query heads share one
  double scale = 1;                  // on the scores, > 0
};

// o[t, h] = sum over s <= t of softmax(scale q[t, h] k[s, h']) v[s, h'],  h' = h / (query heads per
// key/value head), within each sequence. Returns o [tokens, query_heads * value.size].
//
// key_rope, if given, is one more piece of every key that all heads share, [tokens, p] (MLA): then
// query.size = key.size + p, and a score is q[:key.size] k + q[key.size:] key_rope.
// Operands may be (slices of) the same tensor. Where a gradient flows into an operand, its heads
// must cover all its columns, each once: as one operand or as several with the same tensor (MLA's
// [k | v] heads).
// Storage f32, f16, bf16, all operands alike; softmax and sums are fp32. bf16 is multiplied as bf16
// where the CPU can (weights and their gradients are then rounded to bf16 too).
Tensor attention(Program& program, const AttentionHeads& query, const AttentionHeads& key,
                 const AttentionHeads& value, Tensor key_rope, const AttentionOptions& options);

// attention           inputs q, k, v, key_rope?   outputs o, lse [tokens, query_heads] f32: the
//                     logarithm to base 2 of the softmax's denominator
// attention_backward  inputs q, k, v, key_rope?, o, lse, d_o   outputs dq, dk, dv, d_key_rope, each
//                     optional; tensors that are one in forward are one here
// Attributes: those of the options, {query,key,value}_{offset,stride,size}; backward
// {query,key,value,rope}_accumulate.
extern const OpKind kAttention, kAttentionBackward;

}  // namespace ingot
