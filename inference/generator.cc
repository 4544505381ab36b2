#include "inference/generator.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "engine/base/error.h"

namespace ingot {

Generator::Generator(Executor& executor, const GenerationParts& parts, std::int64_t vocabulary)
    : executor_(executor),
      parts_(parts),
      vocabulary_(vocabulary),
      lengths_(batch()),
      tokens_(std::max(batch(), parts.options.prompts * parts.options.chunk)),
      positions_(tokens_.size()),
      last_rows_(batch()),
      sampling_(batch()),
      step_tokens_(batch()),
      step_probabilities_(batch()),
      step_logits_(parts.options.keep_logits ? batch() * vocabulary : 0),
      picked_(batch()),
      logits_(step_logits_.size()) {}

void Generator::run(const GenerationStep& step, Part part) {
  const std::size_t count = executor_.program().info(step.tokens).shape.elements();
  executor_.write(step.tokens, std::as_bytes(std::span(tokens_).first(count)));
  executor_.write(step.positions, std::as_bytes(std::span(positions_).first(count)));
  executor_.write(step.last_rows, std::as_bytes(std::span(last_rows_)));
  executor_.write(step.sampling, std::as_bytes(std::span(sampling_)));
  executor_.run(part);
  executor_.read(step.sampled.tokens, std::as_writable_bytes(std::span(step_tokens_)));
  executor_.read(step.sampled.log_probability,
                 std::as_writable_bytes(std::span(step_probabilities_)));
  if (step_logits_.empty()) return;
  executor_.read(step.logits, std::as_writable_bytes(std::span(step_logits_)));
}

// What the last run says of a sequence is what is wanted of it.
void Generator::take(std::int64_t sequence) {
  picked_[sequence] = {step_tokens_[sequence], step_probabilities_[sequence]};
  ++sampling_[sequence].draw;
  if (step_logits_.empty()) return;
  const auto row = step_logits_.begin() + sequence * vocabulary_;
  std::copy(row, row + vocabulary_, logits_.begin() + sequence * vocabulary_);
}

void Generator::start(std::span<const std::vector<std::int32_t>> prompts,
                      const SamplingOptions& sampling, std::span<const std::int64_t> prompt_of) {
  if (prompts.empty() || std::ssize(prompts) > parts_.options.prompts) {
    throw std::logic_error("a generator takes 1 to GenerationOptions::prompts prompts");
  }
  prompt_of_.assign(prompt_of.begin(), prompt_of.end());
  for (std::int64_t p = 0; prompt_of.empty() && p < std::ssize(prompts); ++p) {
    prompt_of_.push_back(p);
  }
  const auto jumps = [](std::int64_t a, std::int64_t b) { return b < a || b > a + 1; };
  if (std::ssize(prompt_of_) > batch() || prompt_of_.front() != 0 ||
      prompt_of_.back() != std::ssize(prompts) - 1 ||
      std::ranges::adjacent_find(prompt_of_, jumps) != prompt_of_.end()) {
    throw std::logic_error("up to `batch` sequences go on from all prompts in their order");
  }
  std::int64_t longest = 0;
  for (const auto& prompt : prompts) {
    longest = std::max<std::int64_t>(longest, std::ssize(prompt));
    if (prompt.empty() || std::ssize(prompt) >= capacity()) {
      throw Error(ErrorCode::usage,
                  "the prompt has " + std::to_string(prompt.size()) + " tokens, it may have 1 to " +
                      std::to_string(capacity() - 1),
                  "prompt");
    }
  }
  std::fill(lengths_.begin(), lengths_.end(), 0);
  for (std::int64_t b = 0; b < batch(); ++b) {
    sampling_[b] = {.temperature = sampling.temperature,
                    .top_p = sampling.top_p,
                    .min_p = sampling.min_p,
                    .top_k = sampling.top_k,
                    .seed = sampling.seed,
                    .text = sampling.first_text + static_cast<std::uint64_t>(b),
                    .wants_probability = sampling.log_probabilities};
  }
  for (std::int64_t first = 0; first < longest; first += parts_.options.chunk) {
    read_prompts(prompts, first);
  }
  copy_caches(prompts);
}

// Tokens first .. first + chunk of each.
void Generator::read_prompts(std::span<const std::vector<std::int32_t>> prompts,
                             std::int64_t first) {
  const std::int64_t chunk = parts_.options.chunk;
  // Padding writes cache rows that later tokens overwrite before any of them looks there.
  for (std::int64_t p = 0; p < parts_.options.prompts; ++p) {
    const std::int64_t length = p < std::ssize(prompts) ? std::ssize(prompts[p]) : 0;
    for (std::int64_t i = 0; i < chunk; ++i) {
      tokens_[p * chunk + i] = first + i < length ? prompts[p][first + i] : -1;
      positions_[p * chunk + i] = static_cast<std::int32_t>(first + i);
    }
  }
  std::ranges::fill(last_rows_, 0);
  for (std::int64_t b = 0; b < std::ssize(prompt_of_); ++b) {
    const std::int64_t p = prompt_of_[b];
    lengths_[b] = std::min<std::int64_t>(std::ssize(prompts[p]), first + chunk);
    const std::int64_t last = std::max<std::int64_t>(0, lengths_[b] - 1 - first);
    last_rows_[b] = static_cast<std::int32_t>(p * chunk + last);
  }
  run(parts_.prefill, Part::prefill);
  for (std::int64_t b = 0; b < std::ssize(prompt_of_); ++b) {
    // Its last token is in this chunk, not in an earlier one or a later one.
    if (lengths_[b] > first && lengths_[b] == std::ssize(prompts[prompt_of_[b]])) take(b);
  }
}

// Prompt p was read into the cache of sequence p: its rows go to all that go on from it. A sequence
// stands never before its prompt, so the last one first.
void Generator::copy_caches(std::span<const std::vector<std::int32_t>> prompts) {
  std::vector<std::byte> rows;
  executor_.synchronize();
  for (const Tensor cache : parts_.caches) {
    const Shape& shape = executor_.program().info(cache).shape;
    const Range whole = executor_.range(cache);
    const std::int64_t heads = shape.rank() == 4 ? shape[1] : 1;
    const std::int64_t head_bytes = whole.bytes / (batch() * heads);
    for (std::int64_t b = std::ssize(prompt_of_) - 1; b > 0; --b) {
      const std::int64_t p = prompt_of_[b];
      if (p == b) break;  // and so it is for those before
      const auto bytes = static_cast<std::int64_t>(prompts[p].size()) * (head_bytes / capacity());
      rows.resize(static_cast<std::size_t>(bytes));
      for (std::int64_t head = 0; head < heads; ++head) {
        const auto place = [&](std::int64_t sequence) {
          return whole.subrange((sequence * heads + head) * head_bytes, bytes);
        };
        executor_.backend().read(rows, place(p));
        executor_.backend().write(place(b), rows);
      }
    }
  }
}

void Generator::next(std::span<const std::int32_t> tokens) {
  if (std::ssize(tokens) != batch()) throw std::logic_error("one token for each sequence");
  for (std::int64_t b = 0; b < batch(); ++b) {
    tokens_[b] = tokens[b];
    positions_[b] = static_cast<std::int32_t>(std::min(lengths_[b], capacity() - 1));
    last_rows_[b] = static_cast<std::int32_t>(b);
    if (tokens[b] < 0) continue;
    if (lengths_[b] >= capacity()) throw std::logic_error("the cache of a sequence is full");
    ++lengths_[b];
  }
  run(parts_.decode, Part::decode);
  for (std::int64_t b = 0; b < batch(); ++b) take(b);
}

std::span<const float> Generator::logits(std::int64_t sequence) const {
  if (logits_.empty()) throw std::logic_error("this generator keeps no logits");
  return std::span(logits_).subspan(sequence * vocabulary_, vocabulary_);
}

std::vector<std::vector<std::int32_t>> generate(
    Generator& generator, std::span<const std::vector<std::int32_t>> prompts,
    std::int64_t max_tokens, const SamplingOptions& sampling, std::span<const std::int64_t> stop,
    const Emit& emit, std::span<const std::int64_t> prompt_of) {
  std::vector<std::vector<std::int32_t>> texts(prompt_of.empty() ? prompts.size()
                                                                 : prompt_of.size());
  if (max_tokens <= 0) return texts;
  generator.start(prompts, sampling, prompt_of);
  std::vector<std::int32_t> tokens(generator.batch(), -1);
  std::vector<bool> ended(texts.size());
  while (true) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      tokens[i] = -1;
      if (ended[i]) continue;
      const std::int32_t token = generator.picked(i).token;
      texts[i].push_back(token);
      const bool stopped = std::find(stop.begin(), stop.end(), token) != stop.end();
      const bool refused = emit && !emit(i, token);
      ended[i] = stopped || refused || std::ssize(texts[i]) >= max_tokens ||
                 generator.length(i) >= generator.capacity();
      if (!ended[i]) tokens[i] = token;
    }
    if (std::find(ended.begin(), ended.end(), false) == ended.end()) return texts;
    generator.next(tokens);
  }
}

std::vector<std::int32_t> generate(Generator& generator, std::span<const std::int32_t> prompt,
                                   std::int64_t max_tokens, const SamplingOptions& sampling,
                                   std::span<const std::int64_t> stop,
                                   const std::function<bool(std::int32_t)>& emit) {
  const std::vector<std::int32_t> prompts[1] = {{prompt.begin(), prompt.end()}};
  Emit emit_one;
  if (emit) emit_one = [&](std::size_t, std::int32_t token) { return emit(token); };
  return std::move(generate(generator, prompts, max_tokens, sampling, stop, emit_one)[0]);
}

}  // namespace ingot
