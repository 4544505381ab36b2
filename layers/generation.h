// The two parts of a program that generate text with a key/value cache: prefill reads a chunk of
// each prompt, decode reads one token of each sequence. Both pick the next token of each sequence.
#pragma once

#include <vector>

#include "engine/model/model_config.h"
#include "engine/program/program.h"
#include "ops/sample/sample.h"

namespace ingot {

struct GenerationOptions {
  std::int64_t batch = 1;     // sequences
  std::int64_t prompts = 0;   // read at a time, into the cache of the first ones; 0: as many
  std::int64_t chunk = 64;    // tokens of each prompt read at a time
  std::int64_t capacity = 0;  // positions the cache holds; a multiple of chunk
  DType dtype = DType::f32;
  bool keep_logits = false;  // for who reads them after a part has run
};

// Inputs and outputs of one part, which reads `rows` texts: prompts in prefill, else sequences.
struct GenerationStep {
  Tensor tokens;     // [rows, n] i32; negative: padding
  Tensor positions;  // [rows, n] i32, less than capacity; of padding too
  Tensor last_rows;  // [batch] i32: row in [0, rows * n) that a sequence's next token follows
  Tensor sampling;   // [batch, sizeof(SampleRow)] u8: how each next token is picked
  Tensor logits;     // [batch, vocab_size] f32
  Sampled sampled;
};

struct GenerationParts {
  GenerationOptions options;
  GenerationStep prefill, decode;  // n is chunk, and 1
  // [batch, ..., capacity, size] each: what sequences keep of their tokens.
  std::vector<Tensor> caches;
};

// Appends the prefill and decode parts; finds weights that are in the program already.
GenerationParts append_generation(Program& program, const ModelConfig& config,
                                  const GenerationOptions& options);

}  // namespace ingot
