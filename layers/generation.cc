#include "layers/generation.h"

#include <string>
#include <vector>

#include "layers/model.h"
#include "ops/embedding/embedding.h"
#include "ops/sample/pick_token.h"

namespace ingot {
namespace {

GenerationStep append_step(Program& program, const ModelConfig& config,
                           const GenerationOptions& options, Part part, std::int64_t rows,
                           std::int64_t sequence) {
  program.begin(part);
  Builder b(program, config,
            {.batch = rows,
             .sequence = sequence,
             .dtype = options.dtype,
             .capacity = options.capacity,
             .cached_sequences = options.batch});
  const std::string prefix = name_of(part) + "_";
  const auto input = [&](std::string_view name, Shape shape) {
    return b.state(prefix + std::string(name), shape, DType::i32, Role::input, Lifetime::parts);
  };
  GenerationStep step{.tokens = input("tokens", {rows, sequence}),
                      .positions = input("positions", {rows, sequence}),
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

// What one run of a part leaves to the next ones, besides outputs.
std::vector<Tensor> caches_of(const Program& program, Part part) {
  std::vector<Tensor> caches;
  for (const Op& op : program.ops(part)) {
    for (const Tensor t : op.outputs) {
      if (!t) continue;  // an op need not have all of its outputs
      const TensorInfo& info = program.info(t);
      if (info.lifetime == Lifetime::parts && info.role == Role::activation) caches.push_back(t);
    }
  }
  return caches;
}

}  // namespace

GenerationParts append_generation(Program& program, const ModelConfig& config,
                                  const GenerationOptions& options) {
  GenerationParts parts{.options = options};
  if (parts.options.prompts == 0) parts.options.prompts = options.batch;
  parts.prefill =
      append_step(program, config, options, Part::prefill, parts.options.prompts, options.chunk);
  parts.decode = append_step(program, config, options, Part::decode, options.batch, 1);
  parts.caches = caches_of(program, Part::decode);
  return parts;
}

}  // namespace ingot
