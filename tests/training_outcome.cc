#include "tests/training_outcome.h"

#include "tests/learnable_batch.h"
#include "weights/initialize.h"

namespace ingot {
PlannedTraining planned_as(TrainingProgram compiled, Backend& backend) {
  PlannedTraining plan;
  plan.compiled = std::make_unique<TrainingProgram>(std::move(compiled));
  plan.bound = std::make_unique<BoundProgram>(plan.compiled->program, backend);
  plan.memory = plan_memory(plan.compiled->program, *plan.bound, plan.compiled->schedule);
  plan.offload_folder = ".";
  return plan;
}

Outcome outcome_of(TrainingEngine& engine, std::int64_t micro_batches, int ranks, int rank) {
  Executor& executor = engine.executor();
  initialize_weights(executor, 1, 1);
  engine.settings().learning_rate = 1e-2;
  engine.settings().mtp_weight = 0.3;
  engine.settings().balance_weight = 0.01;
  engine.settings().bias_update_rate = 0.001;
  Outcome outcome;
  auto seed = static_cast<std::uint64_t>(rank + 1);
  for (int step = 0; step < 2; ++step) {
    engine.settings().step = step;
    const StepReport report = engine.step(micro_batches, [&](auto tokens, auto targets) {
      learnable_batch(seed, tokens, targets);
      seed += static_cast<std::uint64_t>(ranks);
    });
    outcome.numbers.insert(outcome.numbers.end(),
                           {report.loss, report.grad_norm, report.mtp_loss, report.auxiliary_loss,
                            report.expert_load_max_over_mean});
  }
  const Program& program = executor.program();
  for (int id = 0; id < std::ssize(program.tensors()); ++id) {
    const TensorInfo& info = program.tensors()[id];
    const bool kept = info.role == Role::weight || info.role == Role::master ||
                      info.role == Role::optimizer_state;
    if (!kept || info.lifetime != Lifetime::persistent) continue;
    std::string bytes(executor.bytes(program.whole(id)), '\0');
    executor.read(program.whole(id), std::as_writable_bytes(std::span(bytes)));
    (id == program.progress().id ? outcome.progress : outcome.weights) += bytes;
  }
  return outcome;
}

}  // namespace ingot
