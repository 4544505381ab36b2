// Picks the next token of several sequences where their logits are, so that a few bytes a sequence
// come back to the host instead of the whole vocabulary.
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct Sampled {
  Tensor tokens;           // [sequences] i32
  Tensor log_probability;  // [sequences] f32
};

// logits [sequences, vocabulary] f32; rows [sequences, sizeof(SampleRow)] u8
// (ops/sample/pick_token.h).
Sampled sample(Program& program, Tensor logits, Tensor rows);

//   sample   inputs logits, rows   outputs tokens, log_probability
// workspace: 12 bytes for each token of the vocabulary and thread.
extern const OpKind kSample;

}  // namespace ingot
