// Muon (K. Jordan 2024) for the matrices of hidden layers: momentum, made (nearly) orthogonal.
//   m = b m + (1 - b) g;   G = (1 - b) g + b m                    (Nesterov)
//   X = G / |G|_F;  five times X <- a X + (b A + c A^2) X, A = X X^T   (Newton-Schulz)
//   w = w - lr * (sqrt(max(1, rows / columns)) X + decay * w)
// (a, b, c) = (3.4445, -4.7750, 2.0315): singular values end up between about 0.7 and 1.2. Where
// there are more rows than columns A = X^T X and X is multiplied from the right: no transposes.
// Products are bf16 with fp32 sums, as in the original.
#pragma once

#include "engine/program/program.h"

namespace ingot {

struct MuonOptions {
  double momentum = 0.95;
  double decay = 0;
  double rate = 1;  // learning rate over StepState::learning_rate
};

// Updates the weight's value and its first moment, each in any of its forms, as adamw() does. Every
// part of a fused weight is a matrix of its own; parts of experts repeat from expert to expert.
void muon(Program& program, const Weight& weight, Tensor scale, Tensor skipped,
          const MuonOptions& options);

//   muon   inputs gradient, scale, skipped, progress   outputs weight, its extra or rounded copy?,
//   moment, its extra?
//          attributes momentum, decay, rate, weight_form, first_form; matrices: how many follow one
//          another with rows0, rows1, ...; repeats: how many times they do
// workspace: 4 rows columns + 4 min(rows, columns)^2 bytes of the largest matrix, and the
// products'.
extern const OpKind kMuon;

}  // namespace ingot
