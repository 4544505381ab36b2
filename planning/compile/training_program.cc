#include "planning/compile/training_program.h"

#include <algorithm>
#include <utility>

#include "compress/passes/fuse_codes.h"
#include "compress/passes/int8_compute.h"
#include "engine/program/autodiff.h"
#include "engine/program/schedule_queues.h"
#include "memory/frames.h"
#include "memory/passes/packed_weights.h"
#include "ops/cross_entropy/cross_entropy.h"
#include "ops/report/report.h"
#include "optim/gradient_sums.h"
#include "parallel/passes/data_parallel.h"
#include "parallel/pipeline/cut_chunks.h"
#include "parallel/pipeline/schedules.h"
#include "parallel/pipeline/split_backward.h"

namespace ingot {
namespace {

constexpr std::int64_t kPrefillChunk = 64;

BalanceLoss balance_loss(const RunConfig& config) {
  if (config.loss.balance_weight == 0) return BalanceLoss::none;
  return config.loss.balance_type == BalanceType::batch ? BalanceLoss::batch
                                                        : BalanceLoss::sequence;
}

StateForm master_form(MasterType master) {
  switch (master) {
    case MasterType::fp32:
      return StateForm::f32;
    case MasterType::bf16:
      return StateForm::bf16;
    case MasterType::bf16_residual:
      return StateForm::bf16_residual;
    case MasterType::int8:
      return StateForm::int8;
  }
  return StateForm::f32;
}

std::pair<StateForm, StateForm> moment_forms(OptimizerState state) {
  switch (state) {
    case OptimizerState::fp32:
    case OptimizerState::automatic:
      return {StateForm::f32, StateForm::f32};
    case OptimizerState::bf16:
      return {StateForm::bf16, StateForm::bf16};
    case OptimizerState::int8:
      return {StateForm::dynamic8, StateForm::log8};
  }
  return {StateForm::f32, StateForm::f32};
}

// What the passes work on.
struct Compilation {
  const RunConfig& config;
  const TrainingOptions& options;
  TrainingProgram& result;
  Program& program = result.program;
  DType dtype = storage_dtype(config.precision.compute);
};

void build(Compilation& work) {
  work.program.begin(Part::micro_step);
  Builder builder(work.program, work.config.model,
                  {.batch = work.options.batch,
                   .sequence = work.result.sequence,
                   .dtype = work.dtype,
                   .master = master_form(work.config.precision.master),
                   .balance = balance_loss(work.config),
                   .learning = work.options.learning});
  work.result.inputs = model_inputs(builder, /*with_mtp=*/true);
  work.result.losses = model_losses(builder, work.result.inputs);
}

void append_backward(Compilation& work) { differentiate(work.program); }

void report_losses(Compilation& work) {
  const At backward(work.program, Cursor{.phase = Phase::backward});
  std::vector<ReportItem> items;
  const auto add = [&](Tensor loss, std::string_view sum, std::string_view targets) {
    items.push_back({sum, loss.slice(0, 1)});
    items.push_back({targets, loss.slice(1, 1)});
  };
  const ModelLosses& losses = work.result.losses;
  add(losses.loss, report_slot::kLoss, report_slot::kTargets);
  for (const Tensor loss : losses.mtp) {
    add(loss, report_slot::kMtpLoss, report_slot::kMtpTargets);
  }
  for (const RouterOutputs& router : losses.routers) {
    if (router.balance_loss) items.push_back({report_slot::kBalance, router.balance_loss});
  }
  report(work.program, items);
}

void store_chosen(Compilation& work) {
  if (!work.options.storage) return;
  const std::vector<SavedActivation> saved = saved_activations(work.program);
  const std::vector<Storage> storage = work.options.storage(work.program, saved);
  for (const SavedActivation& activation : saved) {
    if (storage[activation.tensor] == Storage::keep) continue;
    work.result.stored.emplace_back(activation.name, storage[activation.tensor]);
  }
  store_activations(work.program, saved, storage);
}

void sum_gradients(Compilation& work) {
  const GradientType type = work.config.precision.gradient;
  if (type == GradientType::fp32 || work.config.optimizer.update_in_backward) return;
  const bool residual = type == GradientType::bf16_residual;
  sum_gradients_in(work.program, residual ? StateForm::bf16_residual : StateForm::bf16);
}

void append_optimizer(Compilation& work) {
  const OptimizerConfig& optimizer = work.config.optimizer;
  std::vector<RouterUpdate> routers;
  for (const RouterOutputs& router : work.result.losses.routers) {
    routers.push_back({.load = router.load, .selection_bias = router.selection_bias});
  }
  const double muon_rate = optimizer.type == OptimizerType::muon && optimizer.learning_rate > 0
                               ? optimizer.muon_learning_rate / optimizer.learning_rate
                               : 0;
  const auto [first_moment, second_moment] = moment_forms(optimizer.state);
  work.result.state = optimizer.state;
  append_update(work.program,
                {.beta1 = optimizer.betas[0],
                 .beta2 = optimizer.betas[1],
                 .epsilon = optimizer.epsilon,
                 .weight_decay = optimizer.weight_decay,
                 .clip_norm = optimizer.clip_norm,
                 .first_moment = first_moment,
                 .second_moment = second_moment,
                 .muon_rate = muon_rate,
                 .in_backward = optimizer.update_in_backward,
                 .leave_squares = work.config.parallel.data_ranks() == 1},
                routers);
}

void sum_over_ranks(Compilation& work) {
  if (work.config.parallel.data_ranks() == 1) return;
  std::vector<Tensor> loads;
  for (const RouterOutputs& router : work.result.losses.routers) {
    if (router.load) loads.push_back(router.load);
  }
  sum_over_data_ranks(work.program, loads);
}

void append_evaluation(Compilation& work) {
  work.program.begin(Part::evaluation);
  Builder builder(
      work.program, work.config.model,
      {.batch = work.options.batch, .sequence = work.result.sequence, .dtype = work.dtype});
  work.result.evaluation_inputs = model_inputs(builder, /*with_mtp=*/false);
  work.result.evaluation = model_losses(builder, work.result.evaluation_inputs);
}

void append_samples(Compilation& work) {
  if (work.config.log.sample_every == 0) return;
  // A prompt has no more tokens than bytes.
  const std::int64_t prompt =
      std::max(kPrefillChunk, std::ssize(work.config.log.sample_prompt) + 1);
  const std::int64_t wanted = work.config.log.sample_tokens + prompt;
  const std::int64_t capacity =
      std::max(work.config.data.sequence_length, wanted) + kPrefillChunk - 1;
  work.result.generation = append_generation(work.program, work.config.model,
                                             {.batch = 1,
                                              .chunk = kPrefillChunk,
                                              .capacity = capacity / kPrefillChunk * kPrefillChunk,
                                              .dtype = work.dtype});
}

void mark_int8(Compilation& work) { mark_int8_compute(work.program, work.config.precision); }

void fuse(Compilation& work) { fuse_codes(work.program); }

void restore(Compilation& work) { restore_weights(work.program); }

void chunk_heads(Compilation& work) {
  if (work.options.head_chunk > 0) set_head_chunk(work.program, work.options.head_chunk);
  work.result.head_chunk = head_chunk(work.program);
}

void offload_chosen(Compilation& work) {
  work.result.offload = work.options.offload;
  if (work.options.offload != OffloadSet::none) offload(work.program, work.options.offload);
}

void pack(Compilation& work) {
  if (!work.options.pack_weights) return;
  work.result.packed_weights =
      pack_weights(work.program, micro_steps(work.config, work.options.batch));
}

void cut(Compilation& work) {
  const auto steps = static_cast<int>(micro_steps(work.config, work.options.batch));
  const auto ranks = static_cast<int>(work.options.chunks.size()) + 1;
  cut_into_chunks(work.program, work.options.chunks);
  work.result.schedule = ranks == 1 ? micro_step_schedule(steps)
                                    : in_one_process(work.options.split_backward
                                                         ? zero_bubble_h1(ranks, steps)
                                                         : one_forward_one_backward(ranks, steps));
}

void split(Compilation& work) {
  if (work.options.split_backward) split_backward(work.program);
}

void frames(Compilation& work) { mark_frames(work.program); }

void schedule(Compilation& work) {
  if (work.options.offload != OffloadSet::none) work.result.fetch_ahead = work.options.fetch_ahead;
  schedule_queues(work.program, work.result.fetch_ahead);
}

void check(Compilation& work) {
  const bool one_part = work.options.chunks.empty();  // a first, a middle and a last run say it all
  const auto steps = static_cast<int>(std::ssize(work.result.schedule)) - 1;
  check_program(work.program,
                one_part ? micro_step_schedule(std::min(steps, 3)) : work.result.schedule);
}

struct Step {
  TrainingPass pass;
  void (*run)(Compilation&);
};
// The order is part of what each pass promises.
constexpr Step kSteps[] = {
    {{"build", "the model's forward: everything else starts from it"}, build},
    {{"differentiate", "works on the last part there is: before others are appended"},
     append_backward},
    {{"report_losses", "at the end of the micro-step, whose losses are complete there"},
     report_losses},
    {{"store_activations", "works on the two halves of one part; before int8 is marked"},
     store_chosen},
    {{"sum_gradients", "gradients are all written; before the update reads the sums"},
     sum_gradients},
    {{"append_update", "the ops that write gradients are there, to leave squares"},
     append_optimizer},
    {{"sum_over_data_ranks", "gradients have their last writers, and the update its reader"},
     sum_over_ranks},
    {{"append_evaluation", "parts stand in the order they run; the weights are there"},
     append_evaluation},
    {{"append_generation", "the last of the parts"}, append_samples},
    {{"mark_int8", "products of all parts are there, those run again as well"}, mark_int8},
    {{"fuse_codes", "takes in what store_activations and mark_int8 quantize"}, fuse},
    {{"restore_weights", "not for fuse_codes; offload then fetches the codes it reads"}, restore},
    {{"chunk_heads", "heads of all parts are there; sets one number of each"}, chunk_heads},
    {{"offload", "fetches for all ops there are: after passes that make ops"}, offload_chosen},
    {{"pack_weights", "after offload: packs weights that stayed in the arena"}, pack},
    {{"cut_into_chunks", "passes before it see one micro-step; pipelines run it in parts"}, cut},
    {{"split_backward", "moves ops of parts that are complete"}, split},
    {{"mark_frames", "all parts are there, with what they hand to one another"}, frames},
    {{"schedule_queues", "no op is made or moved after it but its waits"}, schedule},
    {{"check_program", "changes nothing; refuses what may not be run"}, check},
};

}  // namespace

std::int64_t micro_steps(const RunConfig& config, std::int64_t batch) {
  return config.batch.tokens_per_step /
         (batch * config.data.sequence_length * config.parallel.data_ranks());
}

TrainingProgram compile_training(const RunConfig& config, const TrainingOptions& options) {
  TrainingProgram result{.batch = options.batch, .sequence = config.data.sequence_length};
  Compilation compilation{config, options, result};
  for (const Step& step : kSteps) {
    step.run(compilation);
    if (options.observe) options.observe(step.pass, result.program);
  }
  return result;
}

}  // namespace ingot
