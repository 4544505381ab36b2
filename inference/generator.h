// Generates texts token by token, several at once, with the prefill and decode parts of a program.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/execution/executor.h"
#include "layers/generation.h"
#include "ops/sample/pick_token.h"

namespace ingot {

// How tokens are picked, for all texts of a run (ops/sample/pick_token.h).
struct SamplingOptions {
  double temperature = 0;  // 0: greedy
  double top_p = 1, min_p = 0;
  std::int64_t top_k = 0;
  std::uint64_t seed = 0;
  std::uint64_t first_text = 0;  // what is drawn for sequence i is drawn for text first_text + i
  bool log_probabilities = false;
};

// The sequences of the program's batch, each with its own length; several may go on from one
// prompt.
class Generator {
 public:
  Generator(Executor& executor, const GenerationParts& parts, std::int64_t vocabulary);

  std::int64_t batch() const { return parts_.options.batch; }
  // Most prompt and generated tokens together, of each sequence.
  std::int64_t capacity() const { return parts_.options.capacity; }

  // Forgets what came before and reads 1 to GenerationOptions::prompts prompts, each not empty and
  // below capacity. Sequence i goes on from prompts[prompt_of[i]]; prompt_of rises from 0 in
  // steps of 0 or 1 to the last one; each prompt is computed once. Empty: one sequence for each
  // prompt. Sequences without a prompt may not be used until the next start.
  void start(std::span<const std::vector<std::int32_t>> prompts,
             const SamplingOptions& sampling = {}, std::span<const std::int64_t> prompt_of = {});
  // tokens[batch()]: appended to the sequences; a negative one leaves its sequence as it is.
  void next(std::span<const std::int32_t> tokens);

  // The token that was picked to come after the sequence, and its log-probability where wanted.
  // What is picked depends on the prompt, the seed, the text's number and how many tokens were
  // picked for it before, on nothing else.
  const Picked& picked(std::int64_t sequence) const { return picked_[sequence]; }
  // [vocabulary], valid until the next call; with GenerationOptions::keep_logits.
  std::span<const float> logits(std::int64_t sequence) const;
  // Tokens the sequence has.
  std::int64_t length(std::int64_t sequence) const { return lengths_[sequence]; }

 private:
  void run(const GenerationStep& step, Part part);
  void take(std::int64_t sequence);
  void read_prompts(std::span<const std::vector<std::int32_t>> prompts, std::int64_t first);
  void copy_caches(std::span<const std::vector<std::int32_t>> prompts);

  Executor& executor_;
  const GenerationParts& parts_;
  std::int64_t vocabulary_;
  std::vector<std::int64_t> lengths_;
  std::vector<std::int64_t> prompt_of_;  // of the sequences in use
  std::vector<std::int32_t> tokens_, positions_, last_rows_;
  std::vector<SampleRow> sampling_;
  std::vector<std::int32_t> step_tokens_;  // of the last run
  std::vector<float> step_probabilities_;  // likewise
  std::vector<float> step_logits_;         // likewise, [batch, vocabulary] where kept
  std::vector<Picked> picked_;             // what is wanted of the runs
  std::vector<float> logits_;
};

// Starts with the prompts, then picks up to max_tokens tokens for each sequence; a text stops early
// after a token of `stop` or when its cache is full. emit is called with each token as it comes and
// its sequence, and may return false to stop that sequence. Returns the generated tokens of each.
using Emit = std::function<bool(std::size_t sequence, std::int32_t token)>;
std::vector<std::vector<std::int32_t>> generate(
    Generator& generator, std::span<const std::vector<std::int32_t>> prompts,
    std::int64_t max_tokens, const SamplingOptions& sampling, std::span<const std::int64_t> stop,
    const Emit& emit = {}, std::span<const std::int64_t> prompt_of = {});

// One text.
std::vector<std::int32_t> generate(Generator& generator, std::span<const std::int32_t> prompt,
                                   std::int64_t max_tokens, const SamplingOptions& sampling,
                                   std::span<const std::int64_t> stop,
                                   const std::function<bool(std::int32_t)>& emit = {});

}  // namespace ingot
