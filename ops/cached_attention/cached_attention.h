// Attention of new tokens over a cache of earlier keys and values, for generation. No gradient.
#pragma once

#include "engine/program/program.h"
#include "ops/attention/attention.h"

namespace ingot {

// Writes the keys and values of the new tokens into the caches, at their positions, then lets each
// new token attend to the cache rows 0 .. its position. Rows beyond the largest position are never
// read.
//
// options.sequence is the number of new tokens of each of options.batch sequences; query, key and
// value heads are those of the batch * sequence new tokens. key_cache [sequences, key_value_heads,
// capacity, key.size] and value_cache (the same with value.size) keep what a head reads in one
// piece, in the dtype of the operands; they must outlive the op (persistent, or one lifetime over
// all parts). positions [batch * sequence] i32 in [0, capacity): a caller must keep them there, and
// different within a sequence. A cache may have more sequences than the batch: the first ones are
// its. Returns o [batch * sequence, query_heads * value.size].
Tensor cached_attention(Program& program, const AttentionHeads& query, const AttentionHeads& key,
                        const AttentionHeads& value, Tensor key_cache, Tensor value_cache,
                        Tensor positions, const AttentionOptions& options);

// inputs q, k, v, positions, key_cache, value_cache; outputs o, key_cache, value_cache. Attributes
// as those of attention, and capacity.
extern const OpKind kCachedAttention;

}  // namespace ingot
