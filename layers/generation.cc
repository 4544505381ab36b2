#include "layers/generation.h"

#include <string>
#include <vector>

#include "layers/model.h"
#include "ops/embedding/embedding.h"
#include "ops/sample/pick_token.h"

namespace ingot {
namespace {

GenerationStep append_step(Program& program, const ModelConfig& config,
                           const GenerationOptions& options, Part part, std::int64_t sequence) {
  program.begin(part);
  Builder b(program, config,
            {.batch = options.batch,
             .sequence = sequence,
             .dtype = options.dtype,
             .capacity = options.capacity});
  const std::string prefix = name_of(part) + "_";
  const auto input = [&](std::string_view name, Shape shape) {
    return b.state(prefix + std::string(name), shape, DType::i32, Role::input, Lifetime::parts);
  };
  GenerationStep step{.tokens = input("tokens", {options.batch, sequence}),
                      .positions = input("positions", {options.batch, sequence}),
                      .last_rows = input("last_rows", {options.batch})};
  step.sampling =
      b.state(prefix + "sampling", {options.batch, static_cast<std::int64_t>(sizeof(SampleRow))},
              DType::u8, Role::input, Lifetime::parts);
  b.positions = step.positions;
  std::vector<RouterOutputs> routers;
  const Tensor hidden = model_hidden(b, step.tokens, routers);
  // A row gather is an embedding lookup: only the last token of each sequence needs logits.
  const Tensor last = embedding(program, step.last_rows, hidden, options.dtype);
  step.logits = model_logits(b, last);
  if (options.keep_logits) {
    TensorInfo& logits = program.info(step.logits);
    logits.role = Role::output;
    logits.lifetime = Lifetime::parts;
  }
  step.sampled = sample(program, step.logits, step.sampling);
  return step;
}

}  // namespace

GenerationParts append_generation(Program& program, const ModelConfig& config,
                                  const GenerationOptions& options) {
  GenerationParts parts{.options = options};
  parts.prefill = append_step(program, config, options, Part::prefill, options.chunk);
  parts.decode = append_step(program, config, options, Part::decode, 1);
  return parts;
}

}  // namespace ingot
