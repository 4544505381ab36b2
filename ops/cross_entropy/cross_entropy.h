// The output head and its loss in one op, a chunk of tokens at a time: logits = hidden W^T, cross
// entropy with the targets, and in training both gradients, without the [tokens, vocabulary] logits
// ever existing whole. In training the forward op disappears: its gradient op does all the work.
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct CrossEntropyOptions {
  // The step's slot with the weight of each token's loss: 1 / targets of the update, and for the
  // modules of multi-token prediction a factor of their own.
  std::string_view factor = step_slot::kLossFactor;
  std::int64_t chunk_rows = 0;  // tokens at a time; 0: chunk_rows_for()
};

// About as many logits as the hidden states have elements (Liger kernel's rule), a power of two
// from 512 on, so that the head adds little to the peak whatever the vocabulary.
std::int64_t chunk_rows_for(std::int64_t tokens, std::int64_t hidden, std::int64_t vocabulary);

// Tokens at a time of a program's heads, in all its parts; 0 without a head.
std::int64_t head_chunk(const Program& program);
// Changes it. Each head takes all its tokens where those are fewer. Sums of weight gradients are
// rounded in another order then: not to the same bits.
void set_head_chunk(Program& program, std::int64_t rows);
bool is_head(const Op& op);

// hidden [tokens, d], weight [vocabulary, d], targets [tokens] i32 (negative: not counted).
// Returns [2] f32: the sum of -log p(target) and the number of counted targets. Softmax in fp32.
// Gradients carry the factor of that slot, times StepState::loss_scale.
Tensor cross_entropy(Program& program, Tensor hidden, Tensor weight, Tensor targets,
                     const CrossEntropyOptions& options = {});

//   cross_entropy            inputs hidden, weight, targets   outputs loss
//   cross_entropy_backward   inputs hidden, weight, targets   outputs loss, d_hidden?, d_weight?
//                            and square sums? of d_weight (engine/execution/gradient_squares.h)
//                            attributes accumulate (d_hidden), first (d_weight), int8_wgrad
//   attributes of both: chunk_rows, factor_slot, int8 (products by int8_matmul.h), int8_block
extern const OpKind kCrossEntropy, kCrossEntropyBackward;

}  // namespace ingot
