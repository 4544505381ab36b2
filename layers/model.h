// The whole model: embedding, decoder blocks, final norm, head, and the multi-token-prediction
// modules of DeepSeek-V3 (arXiv 2412.19437, section 2.2).
#pragma once

#include <string>
#include <vector>

#include "layers/builder.h"
#include "layers/mixture_of_experts.h"

namespace ingot {

// Inputs that the data loader fills before each micro-step, i32 [batch, sequence].
struct ModelInputs {
  Tensor tokens;
  Tensor targets;                   // the next token; negative: not counted
  std::vector<Tensor> mtp_tokens;   // depth k (from 1): the token k places on; negative: none
  std::vector<Tensor> mtp_targets;  // the token k + 1 places on
};

struct ModelLosses {
  Tensor loss;              // [2] f32: sum of -log p over targets, and their number
  std::vector<Tensor> mtp;  // the same for each module
  std::vector<RouterOutputs> routers;
  std::vector<Tensor> hidden;  // [tokens, hidden_size] before each layer, then after the final norm
};

// The step's slot with the weight of each token's loss of the module at that depth (from 1).
std::string mtp_factor_slot(std::int64_t depth);

// Input tensors by name; the same ones for every part of a program with this batch and sequence.
ModelInputs model_inputs(Builder& b, bool with_mtp);

// Appends forward and loss of one micro-batch. inputs.mtp_tokens decides whether the MTP modules
// run.
ModelLosses model_losses(Builder& b, const ModelInputs& inputs);

// Appends the forward pass alone; returns the hidden states after the final norm.
Tensor model_hidden(Builder& b, Tensor tokens, std::vector<RouterOutputs>& routers,
                    std::vector<Tensor>* hidden = nullptr);

// hidden [rows, hidden_size] -> logits [rows, vocab_size] f32.
Tensor model_logits(Builder& b, Tensor hidden);

}  // namespace ingot
