// Embedding: y[t] = table[ids[t]], the first op of a model.
#pragma once

#include "engine/program/program.h"

namespace ingot {

// ids [tokens] i32 in any shape, table [vocabulary, d] of any float dtype. Returns y [tokens, d] of
// dtype `out`. An id outside [0, vocabulary) (padding) gives a row of zeros and gets no gradient.
// Backward: d_table[ids[t]] += dy[t], fp32, in the order of t for each row.
Tensor embedding(Program& program, Tensor ids, Tensor table, DType out);

//   embedding            inputs ids, table   outputs y
//   embedding_backward   inputs ids, dy      outputs d_table   attribute first (Gradients)
extern const OpKind kEmbedding, kEmbeddingBackward;

}  // namespace ingot
