#include "engine/generator.h"

#include <algorithm>

#include "engine/error.h"

namespace ingot {

Generator::Generator(Executor& executor, const GenerationParts& parts, std::int64_t vocabulary)
    : executor_(executor),
      parts_(parts),
      tokens_(parts.options.chunk),
      positions_(parts.options.chunk),
      logits_(vocabulary) {}

std::span<const float> Generator::run(const GenerationStep& step, Part part) {
  const std::size_t count = executor_.program().info(step.tokens).shape.elements();
  executor_.write(step.tokens, std::as_bytes(std::span(tokens_).first(count)));
  executor_.write(step.positions, std::as_bytes(std::span(positions_).first(count)));
  executor_.run(part, StepState{});
  executor_.read(step.logits, std::as_writable_bytes(std::span(logits_)));
  return logits_;
}

std::span<const float> Generator::start(std::span<const std::int32_t> prompt) {
  const auto length = static_cast<std::int64_t>(prompt.size());
  if (length == 0 || length >= capacity()) {
    throw Error(ErrorCode::usage,
                "the prompt has " + std::to_string(length) + " tokens, it may have 1 to " +
                    std::to_string(capacity() - 1),
                "prompt");
  }
  const std::int64_t chunk = parts_.options.chunk;
  for (position_ = 0; position_ < length;) {
    const std::int64_t count = std::min(chunk, length - position_);
    // Padding writes cache rows that later tokens overwrite before any of them looks there.
    for (std::int64_t i = 0; i < chunk; ++i) {
      tokens_[i] = i < count ? prompt[position_ + i] : -1;
      positions_[i] = static_cast<std::int32_t>(position_ + i);
    }
    const auto last = static_cast<std::int32_t>(count - 1);
    executor_.write(parts_.prefill.last_rows, std::as_bytes(std::span(&last, 1)));
    run(parts_.prefill, Part::prefill);
    position_ += count;
  }
  return logits_;
}

std::span<const float> Generator::next(std::int32_t token) {
  tokens_[0] = token;
  positions_[0] = static_cast<std::int32_t>(position_);
  const std::int32_t row = 0;
  executor_.write(parts_.decode.last_rows, std::as_bytes(std::span(&row, 1)));
  run(parts_.decode, Part::decode);
  ++position_;
  return logits_;
}

std::vector<std::int32_t> generate(Generator& generator, std::span<const std::int32_t> prompt,
                                   std::int64_t max_tokens, Sampler& sampler,
                                   std::span<const std::int64_t> stop,
                                   const std::function<bool(std::int32_t)>& emit) {
  std::vector<std::int32_t> generated;
  if (max_tokens <= 0) return generated;
  std::span<const float> logits = generator.start(prompt);
  while (true) {
    const std::int32_t token = sampler.pick(logits, generated.size());
    generated.push_back(token);
    const bool stopped = std::find(stop.begin(), stop.end(), token) != stop.end();
    if (emit && !emit(token)) break;
    if (stopped || static_cast<std::int64_t>(generated.size()) >= max_tokens ||
        generator.position() >= generator.capacity()) {
      break;
    }
    logits = generator.next(token);
  }
  return generated;
}

}  // namespace ingot
