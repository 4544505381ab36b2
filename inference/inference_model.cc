#include "inference/inference_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "backends/host/system_memory.h"
#include "compress/passes/int8_weights.h"
#include "engine/base/error.h"
#include "memory/plan.h"
#include "weights/checkpoint.h"

namespace ingot {
namespace {

// Prompts are read in chunks of about this many tokens in all: enough for matrix products at full
// speed, few enough for the activations to stay small.
constexpr std::int64_t kPrefillTokens = 2048, kChunkUnit = 64;

// "model.layers.N." with N behind the last layer.
bool is_mtp_tensor(const std::string& name, const ModelConfig& model) {
  for (std::int64_t i = 0; i < model.num_nextn_predict_layers; ++i) {
    const std::int64_t layer = model.num_hidden_layers + i;
    if (name.starts_with("model.layers." + std::to_string(layer) + ".")) return true;
  }
  return false;
}

// What may be taken, less a guard for everything else that runs here.
std::int64_t memory_left() {
  const std::int64_t room = read_system_memory().room();
  return room - std::max(room / 100, std::int64_t{64} << 20);
}

void require(double bytes) {
  const std::int64_t left = memory_left();
  if (bytes <= static_cast<double>(left)) return;
  const std::string what =
      fmt::format("the model with its texts takes {:.0f} MiB, {:.0f} MiB are left",
                  std::ceil(bytes / (1 << 20)), std::floor(static_cast<double>(left) / (1 << 20)));
  throw Error(ErrorCode::budget, what, "memory", "ask for fewer or shorter texts at a time");
}

// A part of it that is known before there is a program, which holds a table of all positions.
double least_bytes(const ModelConfig& config, const InferenceOptions& options, DType dtype) {
  const auto tokens = static_cast<double>(options.batch) * static_cast<double>(options.sequence);
  const auto positions = static_cast<double>(std::max(options.capacity, options.sequence));
  return tokens * static_cast<double>(config.hidden_size * size_of(dtype)) +
         positions * static_cast<double>(config.head_dim * size_of(DType::f32));
}

}  // namespace

GenerationOptions generation_options(const InferenceOptions& options, DType dtype) {
  const auto round_up = [](std::int64_t n, std::int64_t unit) {
    return (n + unit - 1) / unit * unit;
  };
  const std::int64_t prompts = options.prompts > 0 ? options.prompts : options.texts;
  const std::int64_t most = std::max(kPrefillTokens / prompts, kChunkUnit);
  const std::int64_t chunk =
      round_up(std::clamp<std::int64_t>(options.prompt, 1, most), kChunkUnit);
  return {.batch = options.texts,
          .prompts = prompts,
          .chunk = chunk,
          .capacity = round_up(options.capacity, chunk),
          .dtype = dtype,
          .keep_logits = options.keep_logits};
}

InferenceModel::InferenceModel(const ModelSource& source, const InferenceOptions& options,
                               Backend& backend)
    : config_(source.config.model) {
  config_.num_nextn_predict_layers = 0;
  const DType dtype = storage_dtype(source.config.precision.compute);
  require(least_bytes(config_, options, dtype));
  if (options.batch > 0) {
    program_.begin(Part::evaluation);
    Builder b(program_, config_,
              {.batch = options.batch, .sequence = options.sequence, .dtype = dtype});
    inputs_ = model_inputs(b, /*with_mtp=*/false);
    losses_ = model_losses(b, inputs_);
  }
  if (options.capacity > 0) {
    generation_ = append_generation(program_, config_, generation_options(options, dtype));
  }
  if (options.int8_weights) store_weights_in_int8(program_);
  BoundProgram bound(program_, backend);
  const MemoryPlan plan = plan_memory(program_, bound);
  require(static_cast<double>(plan.arena_bytes()));
  executor_ = std::make_unique<Executor>(program_, std::move(bound), plan.placement, backend);
  if (source.hugging_face) {
    unused_tensors_ = load_model_files(ModelFiles::open(source.folder), config_, *executor_);
    std::erase_if(unused_tensors_, [&](const std::string& name) {
      return is_mtp_tensor(name, source.config.model);
    });
  } else {
    load_checkpoint(*source.checkpoint, *executor_);
  }
}

LossSum InferenceModel::evaluate(std::span<const std::int32_t> tokens,
                                 std::span<const std::int32_t> targets) {
  executor_->write(inputs_.tokens, std::as_bytes(tokens));
  executor_->write(inputs_.targets, std::as_bytes(targets));
  executor_->run(Part::evaluation);
  return read_loss(*executor_, losses_.loss);
}

}  // namespace ingot
