#include "engine/config/config_fields.h"

#include <utility>

#include "engine/config/config_values.h"

namespace ingot {
namespace {

constexpr std::int64_t kMaxSequence = std::int64_t{1} << 24;
constexpr std::int64_t kMaxBatch = std::int64_t{1} << 20;
constexpr std::int64_t kMaxTokensPerStep = std::int64_t{1} << 40;
constexpr std::int64_t kMaxSteps = 1'000'000'000'000;
constexpr const char* kLater = "not available in this version";

// Fields of a member struct become fields of RunConfig.
template <class Struct>
ConfigSection section(std::string name, Struct RunConfig::*member, std::string sentence,
                      std::vector<FieldOf<Struct>> fields) {
  ConfigSection result = {std::move(name), std::move(sentence), {}};
  for (FieldOf<Struct>& each : fields) {
    result.fields.push_back({std::move(each.key), std::move(each.expects), std::move(each.sentence),
                             [member, read = std::move(each.read)](
                                 const Json& json, const ReadContext& context, RunConfig& config) {
                               return read(json, context, config.*member);
                             },
                             [member, write = std::move(each.write)](const RunConfig& config) {
                               return write(config.*member);
                             }});
  }
  return result;
}

ConfigSection top_section() {
  const auto device = one_of<Device>({{"cpu", Device::cpu}, {"cuda", Device::cuda}});
  return {"",
          "",
          {field("device", &RunConfig::device, device, "What computes."),
           field("threads", &RunConfig::threads, integer(0, 4096),
                 "CPU threads; 0 takes all there are. The results do not depend on it."),
           field("seed", &RunConfig::seed, integer(0),
                 "Fresh weights and the order of the data follow from it."),
           field("nonfinite_limit", &RunConfig::nonfinite_limit, integer(1, 1'000'000),
                 "A step with a non-finite loss or gradient is skipped; this many in a row end "
                 "the run with exit code 5.")}};
}

ConfigSection data_section() {
  return section(
      "data", &RunConfig::data, "What is learned. `ingot prepare` makes the shards.",
      {field("train", &DataConfig::train, paths(), "Training shards; `*` and `?` match names."),
       field("validation", &DataConfig::validation, paths(), "Validation shards; may be empty."),
       field("tokenizer", &DataConfig::tokenizer, path(),
             "The tokenizer.json of the shards; empty: the one beside the first training shard."),
       field("sequence_length", &DataConfig::sequence_length, integer(2, kMaxSequence),
             "Tokens of one training sequence."),
       field("validation_tokens", &DataConfig::validation_tokens, integer(0, kMaxRunTokens),
             "Tokens of one validation, the first of the shards, up to the end of a sequence: the "
             "same ones whatever the plan; 0: all of the shards."),
       field("validation_batches", &DataConfig::validation_batches,
             optional_of(integer(0, kMaxSteps), Json(nullptr)),
             "What older configs have instead of validation_tokens: batches of " +
                 std::to_string(kValidationBatch) + " sequences; 0: all of the shards.")});
}

ConfigSection batch_section() {
  return section(
      "batch", &RunConfig::batch, "How much one update sees.",
      {field("tokens_per_step", &BatchConfig::tokens_per_step, integer(2, kMaxTokensPerStep),
             "Tokens of one update, over all micro-batches and ranks: a multiple of "
             "sequence_length, and of micro_batch * sequence_length."),
       field("micro_batch", &BatchConfig::micro_batch,
             optional_of(integer(1, kMaxBatch), Json("auto")),
             "Sequences computed at once; \"auto\": the planner chooses.")});
}

ConfigSection optimizer_section() {
  const auto type =
      one_of<OptimizerType>({{"adamw", OptimizerType::adamw}, {"muon", OptimizerType::muon}});
  const auto state = one_of<OptimizerState>({{"fp32", OptimizerState::fp32},
                                             {"bf16", OptimizerState::bf16},
                                             {"int8", OptimizerState::int8},
                                             {"auto", OptimizerState::automatic}});
  return section(
      "optimizer", &RunConfig::optimizer, "How an update is made.",
      {field("type", &OptimizerConfig::type, type,
             "The update rule. `muon`: matrices of hidden layers by Muon (momentum "
             "0.95), all else by AdamW."),
       field("learning_rate", &OptimizerConfig::learning_rate, number(range(0, 1e3)),
             "Peak of the learning rate; the schedule scales it."),
       field("muon_learning_rate", &OptimizerConfig::muon_learning_rate, number(range(0, 1e3)),
             "The same of what Muon updates; needs a `learning_rate` above 0."),
       field("betas", &OptimizerConfig::betas, pair_of(number({0, 1, false, true})),
             "Decay of the averages of the gradient and of its square."),
       field("epsilon", &OptimizerConfig::epsilon, number({0, 1, true}),
             "Added to the root of the averaged square."),
       field("weight_decay", &OptimizerConfig::weight_decay, number(range(0, 1e3)),
             "Decoupled decay, of tensors with two or more dimensions."),
       field("clip_norm", &OptimizerConfig::clip_norm, number(range(0, kInfinity)),
             "Largest norm of all gradients together; 0 turns it off."),
       field("state", &OptimizerConfig::state, state,
             "How its averages are stored, of tensors with two or more dimensions: 8, 4 "
             "or 2.05 bytes a parameter. \"auto\": the planner may choose."),
       field("update_in_backward", &OptimizerConfig::update_in_backward, flag(),
             "Each weight is updated as soon as its gradient is there, and the gradient "
             "is gone then. Clips by the norm of the step before or of the weight's own gradient, "
             "whichever is larger, and needs the whole "
             "batch in one micro-batch.")});
}

ConfigSection schedule_section() {
  const auto type = one_of<ScheduleType>({{"constant", ScheduleType::constant},
                                          {"linear", ScheduleType::linear},
                                          {"cosine", ScheduleType::cosine},
                                          {"wsd", ScheduleType::wsd},
                                          {"multi_step", ScheduleType::multi_step}});
  const auto shape =
      one_of<DecayShape>({{"linear", DecayShape::linear}, {"cosine", DecayShape::cosine}});
  return section(
      "schedule", &RunConfig::schedule, "The learning rate of every step, and how many there are.",
      {field("type", &ScheduleConfig::type, type,
             "Shape after the warm-up. `linear` and `cosine` fall over all steps, `wsd` is "
             "constant and falls at the end, `multi_step` falls in steps."),
       field("warmup_steps", &ScheduleConfig::warmup_steps, integer(0, kMaxSteps),
             "The learning rate rises linearly over these first steps."),
       field("steps", &ScheduleConfig::steps, integer(1, kMaxSteps), "Updates of the whole run."),
       field(
           "final_ratio", &ScheduleConfig::final_ratio, number(range(0, 1)),
           "`linear`, `cosine`, `wsd`: what the learning rate over the peak falls to; it would be "
           "there at step `steps`, one behind the last."),
       field("decay_fraction", &ScheduleConfig::decay_fraction, number(range(0, 1)),
             "`wsd`: the last part of the steps, in which the learning rate falls."),
       field("decay_steps", &ScheduleConfig::decay_steps, integer(0, kMaxSteps),
             "`wsd`: the same in steps; if not 0 it replaces decay_fraction."),
       field("decay_shape", &ScheduleConfig::decay_shape, shape, "`wsd`: how it falls."),
       field("milestones", &ScheduleConfig::milestones,
             list_of(number({0, static_cast<double>(kMaxSteps), true})),
             "`multi_step`: where the learning rate changes, not within the warm-up; below 1 a "
             "fraction of the steps, else a step."),
       field("factors", &ScheduleConfig::factors, list_of(number(range(0, 1))),
             "`multi_step`: from each milestone on, the learning rate over the peak.")});
}

ConfigSection precision_section() {
  const auto compute = one_of<ComputeType>({{"fp32", ComputeType::fp32},
                                            {"bf16", ComputeType::bf16},
                                            {"fp16", ComputeType::fp16},
                                            {"int8", ComputeType::int8}},
                                           {{"fp8", kLater}});
  const auto wgrad = one_of<WgradType>({{"bf16", WgradType::bf16}, {"int8", WgradType::int8}});
  const auto head = one_of<HeadType>({{"bf16", HeadType::bf16}, {"int8", HeadType::int8}});
  const auto scales = one_of<Int8Scales>({{"row", Int8Scales::row},
                                          {"1x512", Int8Scales::blocks_of_512},
                                          {"1x128", Int8Scales::blocks_of_128}});
  const auto master = one_of<MasterType>({{"fp32", MasterType::fp32},
                                          {"bf16", MasterType::bf16},
                                          {"bf16_residual", MasterType::bf16_residual},
                                          {"int8", MasterType::int8}});
  const auto gradient = one_of<GradientType>({{"fp32", GradientType::fp32},
                                              {"bf16", GradientType::bf16},
                                              {"bf16_residual", GradientType::bf16_residual}});
  return section(
      "precision", &RunConfig::precision, "Number formats. Sums, norms and losses are fp32 always.",
      {field("compute", &PrecisionConfig::compute, compute,
             "Format of weights and activations in computation. \"int8\": bf16, but the products "
             "of the layers' matrices are computed in int8 (not routers, norms, attention, head)."),
       field("wgrad", &PrecisionConfig::wgrad, wgrad,
             "With int8 compute: what the gradients of the matrices are computed in."),
       field("head", &PrecisionConfig::head, head,
             "With int8 compute: what the products of the output head and its gradients are "
             "computed in (wgrad holds for it too)."),
       field("int8_scales", &PrecisionConfig::int8_scales, scales,
             "With int8 compute: what shares a scale, whole rows and columns, or blocks of so many "
             "along the sum, which follow outliers better and are slower."),
       field("master", &PrecisionConfig::master, master,
             "What updates move, beside the matrices in computation. \"fp32\": a copy of them, 6 "
             "bytes a parameter together; \"bf16\": themselves, rounded stochastically, 2 bytes; "
             "\"bf16_residual\": themselves and 8 bits more, 3 bytes; \"int8\": nothing else, they "
             "are kept in 8 bits, rounded stochastically, 1.03 bytes."),
       field("gradient", &PrecisionConfig::gradient, gradient,
             "Format of the sum of the matrices' gradients over micro-batches: 4 bytes; \"bf16\", "
             "rounded "
             "stochastically, 2; \"bf16_residual\", exact to 24 bits until the update reads it "
             "rounded once, 3. With optimizer.update_in_backward there is no such sum."),
       field("loss_scale", &PrecisionConfig::loss_scale,
             optional_of(number({0, 1e30, true}), Json("dynamic")),
             "Factor on the loss that keeps small fp16 gradients; used with fp16 only.")});
}

ConfigSection memory_section() {
  const auto policy =
      one_of<MemoryPolicy>({{"auto", MemoryPolicy::automatic}, {"keep", MemoryPolicy::keep}},
                           {{"int8", kLater}, {"recompute", kLater}});
  const auto activations = one_of<ActivationPolicy>({{"auto", ActivationPolicy::automatic},
                                                     {"keep", ActivationPolicy::keep},
                                                     {"int8", ActivationPolicy::int8},
                                                     {"compact", ActivationPolicy::compact},
                                                     {"recompute", ActivationPolicy::recompute}});
  const auto offload = one_of<OffloadPolicy>({{"auto", OffloadPolicy::automatic},
                                              {"none", OffloadPolicy::none},
                                              {"states", OffloadPolicy::states},
                                              {"masters", OffloadPolicy::masters},
                                              {"all", OffloadPolicy::all}});
  return section(
      "memory", &RunConfig::memory, "What the planner may use and do. See `ingot plan`.",
      {field("budget", &MemoryConfig::budget, memory_budget(),
             "Memory of one process; \"auto\": what the machine has, less a guard."),
       field("activations", &MemoryConfig::activations, activations,
             "How activations wait for the backward pass; \"keep\": as computed, \"int8\": in 8 "
             "bits, norms and SwiGLU computed again, \"compact\": MLA's projections computed again "
             "too, \"recompute\": everything within a layer computed again, \"auto\": the fastest "
             "mixture that fits."),
       field("weights", &MemoryConfig::weights, policy, "How weights are stored."),
       field("offload", &MemoryConfig::offload, offload,
             "What leaves main memory for a file, and is read and written as it is needed; "
             "\"states\": of the optimizer, \"masters\": those of weights too, \"all\": gradients "
             "and "
             "weights too, \"auto\": as much as it takes."),
       field("offload_directory", &MemoryConfig::offload_directory, path(),
             "Folder, on a disk, for that file; empty: checkpoint.directory."),
       field("head_chunk", &MemoryConfig::head_chunk,
             optional_of(integer(1, kMaxBatch), Json("auto")),
             "Tokens whose logits exist at once; fewer take less memory and more time; \"auto\": "
             "the planner chooses."),
       field("fetch_ahead", &MemoryConfig::fetch_ahead,
             optional_of(integer(0, kMostFetchAhead), Json("auto")),
             "With offload, how many copies from the file start before the one that is needed; "
             "each takes its tensor's memory meanwhile; \"auto\": the planner chooses 0, 1, 2 or "
             "4.")});
}

ConfigSection parallel_section() {
  return section(
      "parallel", &RunConfig::parallel, "How ranks share the work.",
      {field("data", &ParallelConfig::data, optional_of(integer(1, 65536), Json("auto")),
             "Ranks that split the batch; \"auto\": all that the others leave."),
       field("tensor", &ParallelConfig::tensor, integer(1, 65536), "Ranks that split a matrix."),
       field("pipeline", &ParallelConfig::pipeline, integer(1, 65536), "Ranks that split layers."),
       field("expert", &ParallelConfig::expert, integer(1, 65536), "Ranks that split experts."),
       field("zero", &ParallelConfig::zero, optional_of(integer(0, 3), Json("auto")),
             "ZeRO stage: what data-parallel ranks split. 0: nothing, 1: optimizer states, 2: "
             "gradients too, 3: weights too; \"auto\": the planner chooses.")});
}

ConfigSection loss_section() {
  const auto balance =
      one_of<BalanceType>({{"sequence", BalanceType::sequence}, {"batch", BalanceType::batch}});
  return section(
      "loss", &RunConfig::loss, "The objective beside the next token, for MoE and MTP models.",
      {field("mtp_weight", &LossConfig::mtp_weight, step_values(range(0, 1e3)),
             "Weight of the mean loss of the MTP modules; a list changes it during the run. "
             "DeepSeek-V3: 0.3, later 0.1."),
       field("balance_weight", &LossConfig::balance_weight, number(range(0, 1e3)),
             "Weight of the expert balance loss of each MoE layer; 0 turns it off. DeepSeek-V3: "
             "1e-4, V2: 3e-3."),
       field("balance_type", &LossConfig::balance_type, balance,
             "What the experts are balanced over: each sequence, or the micro-batch."),
       field("bias_update_rate", &LossConfig::bias_update_rate, number(range(0, 1e3)),
             "Step of the selection bias towards balance after each update (deepseek_v3); 0 keeps "
             "it."),
       field("bias_update_until", &LossConfig::bias_update_until, integer(0),
             "Tokens after which the selection bias stays as it is; 0: never.")});
}

ConfigSection spike_section() {
  return section(
      "spike", &RunConfig::spike, "Updates that would do harm are skipped.",
      {field("z_score", &SpikeConfig::z_score, number(range(0, 1e6)),
             "An update is skipped when loss or gradient norm lies this many standard deviations "
             "above its recent mean; 0 turns it off."),
       field("window", &SpikeConfig::window, integer(10, 1'000'000),
             "Steps the mean and deviation are taken over, skipped ones too, so that a run gets "
             "used to a new level. Nothing is a spike before there are half as many, 20 at least."),
       field("limit", &SpikeConfig::limit, integer(1, 1'000'000),
             "So many spikes in a row end the run, saved, with exit code 5.")});
}

ConfigSection checkpoint_section() {
  return section(
      "checkpoint", &RunConfig::checkpoint, "Where and when the run is saved.",
      {field("directory", &CheckpointConfig::directory, path(),
             "Folder of checkpoints and metrics.jsonl; empty: `runs/NAME` in the current folder, "
             "NAME from the run config's file."),
       field("every", &CheckpointConfig::every, integer(0, kMaxSteps),
             "Steps between checkpoints; 0: only at the end."),
       field("keep", &CheckpointConfig::keep, integer(0, 1'000'000),
             "The newest checkpoints, this many, are kept; 0: all.")});
}

ConfigSection log_section() {
  return section(
      "log", &RunConfig::log, "What the run tells.",
      {field("every", &LogConfig::every, integer(1, kMaxSteps), "Steps between lines."),
       field("validate_every", &LogConfig::validate_every, integer(0, kMaxSteps),
             "Steps between validations; 0: never."),
       field("sample_every", &LogConfig::sample_every, integer(0, kMaxSteps),
             "Steps between generated samples; 0: never."),
       field("sample_prompt", &LogConfig::sample_prompt, text(), "Text a sample continues."),
       field("sample_tokens", &LogConfig::sample_tokens, integer(1, 1'000'000),
             "Tokens of a sample."),
       field("tensorboard", &LogConfig::tensorboard, flag(),
             "Event files for TensorBoard too, beside metrics.jsonl.")});
}

}  // namespace

const std::vector<ConfigSection>& config_sections() {
  static const std::vector<ConfigSection> sections = {
      top_section(),      data_section(),      batch_section(),      optimizer_section(),
      schedule_section(), precision_section(), memory_section(),     parallel_section(),
      loss_section(),     spike_section(),     checkpoint_section(), log_section()};
  return sections;
}

}  // namespace ingot
