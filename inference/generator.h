// Generates texts token by token, several at once, with the prefill and decode parts of a program.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/execution/executor.h"
#include "inference/sampler.h"
#include "layers/generation.h"

namespace ingot {

// The sequences of the program's batch, each with its own prompt and length.
class Generator {
 public:
  Generator(Executor& executor, const GenerationParts& parts, std::int64_t vocabulary);

  std::int64_t batch() const { return parts_.options.batch; }
  // Most prompt and generated tokens together, of each sequence.
  std::int64_t capacity() const { return parts_.options.capacity; }

  // Forgets what came before and reads 1 to batch() prompts, each not empty and below capacity.
  // Sequences without a prompt may not be used until the next start.
  void start(std::span<const std::vector<std::int32_t>> prompts);
  // tokens[batch()]: appended to the sequences; a negative one leaves its sequence as it is.
  void next(std::span<const std::int32_t> tokens);

  // Of the token after the sequence; [vocabulary], valid until the next call.
  std::span<const float> logits(std::int64_t sequence) const;
  // Tokens the sequence has.
  std::int64_t length(std::int64_t sequence) const { return lengths_[sequence]; }

 private:
  void run(const GenerationStep& step, Part part);

  Executor& executor_;
  const GenerationParts& parts_;
  std::int64_t vocabulary_;
  std::vector<std::int64_t> lengths_;
  std::vector<std::int32_t> tokens_, positions_, last_rows_;
  std::vector<float> step_logits_, logits_;  // [batch, vocabulary]: of the last run; wanted
};

// Reads the prompts (up to the generator's batch), then picks up to max_tokens tokens for each; a
// text stops early after a token of `stop` or when its cache is full. emit is called with each
// token as it comes and its sequence, and may return false to stop that sequence. Texts depend on
// the prompt, the sampler's seed and the place among the prompts. Returns the generated tokens of
// each.
using Emit = std::function<bool(std::size_t sequence, std::int32_t token)>;
std::vector<std::vector<std::int32_t>> generate(Generator& generator,
                                                std::span<const std::vector<std::int32_t>> prompts,
                                                std::int64_t max_tokens, Sampler& sampler,
                                                std::span<const std::int64_t> stop,
                                                const Emit& emit = {});

// One text.
std::vector<std::int32_t> generate(Generator& generator, std::span<const std::int32_t> prompt,
                                   std::int64_t max_tokens, Sampler& sampler,
                                   std::span<const std::int64_t> stop,
                                   const std::function<bool(std::int32_t)>& emit = {});

}  // namespace ingot
