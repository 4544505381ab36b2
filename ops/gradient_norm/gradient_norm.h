// The norm of all gradients together, and what the device decides by it: how gradients are clipped,
// and whether the update is skipped. Three ops, so that sums of several ranks can come between:
//   square_sums   pieces of the sum of squares
//   decide        norm, clipping factor, skipped
//   advance       what the next update is told: how many updates were applied, the last norm
#pragma once

#include <vector>

#include "engine/program/program.h"

namespace ingot {

// Sums that a tensor of so many elements is cut into: of 262,144 each.
constexpr std::int64_t kSquarePiece = 262144;
constexpr std::int64_t square_pieces(std::int64_t elements) {
  return (elements + kSquarePiece - 1) / kSquarePiece;
}

// f64 [pieces]: sums of the squares of `gradients` (f32 or bf16) in such pieces, so that
// they do not depend on the number of threads, and of `square_sums`, f32 sums of squares that
// writers of other gradients left (engine/execution/gradient_squares.h).
Tensor sum_squares(Program& program, const std::vector<Tensor>& gradients,
                   const std::vector<Tensor>& square_sums);

struct Decision {
  Tensor scale;    // [1] f32: factor on every gradient, min(1, clip / (norm + 1e-6)) / loss_scale
  Tensor skipped;  // [1] f32: 1 if the update is not to be applied
};

// squares: of sum_squares(). The norm is their square root, loss scale divided out; it and
// `skipped` go into the report. Skipped when the report's loss is not finite or its mean exceeds
// StepState::loss_limit, or the norm is not finite or exceeds StepState::norm_limit. clip_norm 0:
// no clipping.
Decision decide(Program& program, Tensor squares, double clip_norm);

// At the end of the update: progress from `skipped` [1] f32 and the report's norm, which is kept
// where it is finite.
void advance(Program& program, Tensor skipped);

//   square_sums   inputs gradients..., sums...   outputs squares   attribute sums: how many are
//   sums decide        inputs squares    outputs scale, skipped, report   attribute clip_norm and
//   the
//                 slots of loss, targets (-1: there is no loss), norm and skipped
//   advance       inputs skipped, report   outputs progress   attribute norm
// (report and progress are read and written)
extern const OpKind kSquareSums, kDecide, kAdvance;

}  // namespace ingot
