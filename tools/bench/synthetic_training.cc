#include "tools/bench/synthetic_training.h"

#include "engine/numbers/random.h"
#include "planning/planner.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

// Nothing is saved here: no memory for that.
RunConfig without_saves(RunConfig config) {
  config.checkpoint.every = 0;
  return config;
}

}  // namespace

SyntheticTraining::SyntheticTraining(const RunConfig& config, Backend& backend, int threads)
    : engine_(plan_training(without_saves(config), backend), backend, config),
      vocabulary_(static_cast<std::uint32_t>(config.model.vocab_size)) {
  initialize_weights(engine_.executor(), static_cast<std::uint64_t>(config.seed), threads);
  engine_.settings().learning_rate = config.optimizer.learning_rate;
}

void SyntheticTraining::step() {
  engine_.step(engine_.micro_steps_per_update(),
               [this](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
                 for (std::size_t i = 0; i < tokens.size(); ++i) {
                   const auto words = philox(1, 0, drawn_++);
                   tokens[i] = static_cast<std::int32_t>(words[0] % vocabulary_);
                   targets[i] = static_cast<std::int32_t>(words[1] % vocabulary_);
                 }
               });
}

void SyntheticTraining::step(OpObserver& observer) {
  engine_.executor().set_observer(&observer);
  step();
  engine_.executor().set_observer(nullptr);
}

}  // namespace ingot
