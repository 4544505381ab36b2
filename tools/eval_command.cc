#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/loader.h"
#include "engine/inference.h"
#include "tools/command.h"
#include "tools/flag_checks.h"

namespace ingot {
namespace {

struct Flags {
  std::string checkpoint;
  std::vector<std::string> data;
  std::int64_t batches = 0, sequence = 0, batch = 4;
  bool json = false;
};

int evaluate(const Flags& flags) {
  const ModelSource source = find_model(flags.checkpoint);
  const std::int64_t sequence =
      flags.sequence > 0 ? flags.sequence : source.config.data.sequence_length;
  const Dataset dataset(
      {.patterns = flags.data,
       .sequence_length = sequence,
       .vocabulary_size = static_cast<std::uint64_t>(source.config.model.vocab_size)});
  const auto backend = make_backend(Device::cpu, thread_count(0));
  InferenceModel model(source, {.batch = flags.batch, .sequence = sequence}, *backend);
  const SequentialBatches batches(dataset, {.micro_batch = flags.batch}, flags.batches);
  std::vector<std::int32_t> tokens(flags.batch * sequence), targets(tokens.size());
  double loss = 0, count = 0;
  for (std::int64_t i = 0; i < batches.count(); ++i) {
    batches.read(i, tokens, targets);
    const InferenceModel::LossSum sum = model.evaluate(tokens, targets);
    loss += sum.loss;
    count += sum.targets;
  }
  loss /= std::max(1.0, count);
  if (flags.json) {
    std::puts(nlohmann::json{{"loss", loss}, {"perplexity", std::exp(loss)}, {"tokens", count}}
                  .dump(2)
                  .c_str());
  } else {
    std::printf("loss %.4f | perplexity %.3f | %.0f tokens\n", loss, std::exp(loss), count);
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
