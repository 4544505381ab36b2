#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/shards/dataset.h"
#include "data/tokenizer/tokenizer.h"
#include "engine/base/error.h"
#include "inference/evaluation.h"
#include "inference/inference_model.h"
#include "tools/command.h"
#include "tools/flag_checks.h"
#include "tools/unused_tensors.h"

namespace ingot {
namespace {

struct Flags {
  std::string checkpoint;
  std::vector<std::string> data;
  std::int64_t batches = 0, sequence = 0, batch = 4;
  std::optional<Device> device;
  bool json = false;
};

int evaluate(const Flags& flags) {
  const ModelSource source = find_model(flags.checkpoint, warn);
  const std::int64_t sequence =
      flags.sequence > 0 ? flags.sequence : source.config.data.sequence_length;
  const Dataset dataset(
      {.patterns = flags.data,
       .sequence_length = sequence,
       .vocabulary_size = static_cast<std::uint64_t>(source.config.model.vocab_size)});
  if (tokenizer_hash_in(source.folder).value_or(dataset.tokenizer_hash()) !=
      dataset.tokenizer_hash()) {
    throw Error(ErrorCode::data, "the data were made with another tokenizer than the model's",
                flags.data.front(),
                "prepare them with " + (source.folder / "tokenizer.json").string());
  }
  const std::int64_t positions = source.config.model.max_position_embeddings;
  if (sequence > positions) {
    warn("--sequence is " + std::to_string(sequence) + ", the model was made for " +
         std::to_string(positions) + " tokens (max_position_embeddings)");
  }
  const auto backend = make_backend(flags.device.value_or(source.config.device), thread_count(0));
  InferenceModel model(source, {.batch = flags.batch, .sequence = sequence}, *backend);
  warn_of_unused(model.unused_tensors());
  Evaluation evaluation(dataset, flags.batch, flags.batches * flags.batch,
                        [&](auto tokens, auto targets) { return model.evaluate(tokens, targets); });
  const LossSum sum = evaluation.losses();
  const double loss = sum.mean(), perplexity = std::exp(loss);
  if (flags.json) {
    const nlohmann::json result{
        {"loss", loss}, {"perplexity", perplexity}, {"tokens", sum.targets}};
    std::puts(result.dump(2).c_str());
  } else {
    std::printf("loss %.4f | perplexity %.3f | %.0f tokens\n", loss, perplexity, sum.targets);
  }
  return 0;
}

}  // namespace

void add_eval(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<Flags>();
  CLI::App* eval = app.add_subcommand("eval", "Loss and perplexity on token shards");
  eval->add_option("--checkpoint", flags->checkpoint,
                   "Checkpoint, run directory or Hugging Face folder")
      ->required();
  eval->add_option("--data", flags->data, "Token shards")->required();
  add_device_flag(*eval, flags->device);
  eval->add_option("--batches", flags->batches, "At most so many batches; 0: all")
      ->check(count_from(0));
  eval->add_option("--sequence", flags->sequence, "Tokens of a sequence; 0: as in training")
      ->check(count_from(0));
  eval->add_option("--batch", flags->batch, "Sequences at a time")
      ->check(count_from(1))
      ->capture_default_str();
  eval->add_flag("--json", flags->json, "Print JSON");
  eval->callback([&command, flags] { command = [flags] { return evaluate(*flags); }; });
}

}  // namespace ingot
