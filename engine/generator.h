// Generates text token by token with the prefill and decode parts of a program.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/executor.h"
#include "engine/sampler.h"
#include "layers/generation.h"

namespace ingot {

// One sequence (batch 1).
class Generator {
 public:
  Generator(Executor& executor, const GenerationParts& parts, std::int64_t vocabulary);

  // Most prompt and generated tokens together.
  std::int64_t capacity() const { return parts_.options.capacity; }

  // Forgets what came before and reads the prompt (not empty, below capacity); returns the logits
  // of the token after it, valid until the next call.
  std::span<const float> start(std::span<const std::int32_t> prompt);
  // Appends a token; returns the logits of the one after it.
  std::span<const float> next(std::int32_t token);
  std::int64_t position() const { return position_; }

 private:
  std::span<const float> run(const GenerationStep& step, Part part);

  Executor& executor_;
  const GenerationParts& parts_;
  std::int64_t position_ = 0;  // tokens in the cache
  std::vector<std::int32_t> tokens_, positions_;
  std::vector<float> logits_;
};

// Reads the prompt, then picks up to max_tokens tokens; stops early after a token of `stop` or when
// the cache is full. emit is called with each token as it comes, and may return false to stop.
// Returns the generated tokens.
std::vector<std::int32_t> generate(Generator& generator, std::span<const std::int32_t> prompt,
                                   std::int64_t max_tokens, Sampler& sampler,
                                   std::span<const std::int64_t> stop,
                                   const std::function<bool(std::int32_t)>& emit = {});

}  // namespace ingot
