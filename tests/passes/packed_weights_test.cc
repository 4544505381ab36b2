#include "memory/passes/packed_weights.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/config/config.h"
#include "memory/passes/activation_policy.h"
#include "ops/pack_weight/pack_weight.h"
#include "planning/compile/training_program.h"

namespace ingot {
namespace {

// Steps of 16 sequences of 128 tokens; of four experts' rows for each expert 64 a sequence.
RunConfig experts(const std::vector<std::string>& overrides = {}) {
  return parse_run_config(R"({"model": {"model_type": "deepseek_v3", "vocab_size": 64,
    "hidden_size": 64, "intermediate_size": 96, "moe_intermediate_size": 32,
    "num_hidden_layers": 2, "first_k_dense_replace": 1, "num_attention_heads": 2,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2,
    "topk_group": 1, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8, "v_head_dim": 16, "num_nextn_predict_layers": 0},
    "data": {"sequence_length": 128}, "batch": {"tokens_per_step": 2048},
    "precision": {"compute": "bf16"}})",
                          "run.json", ".", overrides);
}

TrainingProgram packed(const RunConfig& config, TrainingOptions options = {}) {
  options.pack_weights = true;
  return compile_training(config, options);
}

// How many products there are for each copy, and that a copy is of the weight it stands beside.
std::multiset<int> uses(const Program& program) {
  std::vector<int> count(program.tensors().size()), made(program.tensors().size(), -1);
  for (const Op& op : program.ops()) {
    if (op.kind == &kPackWeight) made[op.outputs[0].id] = op.inputs[0].id;
    const Tensor copy = packed_weight_of(op);
    if (!copy) continue;
    EXPECT_EQ(op.part, Part::micro_step);
    EXPECT_EQ(made[copy.id], op.inputs[1].id) << op.name;
    EXPECT_GT(share_saved_by_packing(op), 0);
    ++count[copy.id];
  }
  std::multiset<int> all;
  for (std::size_t id = 0; id < count.size(); ++id) {
    EXPECT_EQ(count[id] > 0, made[id] >= 0);
    if (count[id] > 0) all.insert(count[id]);
  }
  return all;
}

TEST(PackedWeights, AreTwoForEachMatrixWhereAStepHasManyMicroSteps) {
  // q_a, q_b, kv_a, kv_b, o of two layers; gate_up and down of a dense layer, of the experts and of
  // the one that all tokens share. Not the router's, which is fp32, nor the head's.
  const TrainingProgram compiled = packed(experts());
  const std::multiset<int> once = uses(compiled.program);
  EXPECT_EQ(compiled.packed_weights, std::ssize(once));
  EXPECT_EQ(once.count(1), once.size());
  EXPECT_EQ(once.size() % 2, 0u);
  EXPECT_GE(once.size(), 2u * (2 * 4 + 3 * 2));
}

// Codes, and a scale and a correction for each column: less than the weights themselves.
TEST(PackedWeights, AreCodesForProductsInInt8) {
  const TrainingProgram floats = packed(experts());
  const TrainingProgram codes = packed(experts({"precision.compute=int8"}));
  EXPECT_EQ(codes.packed_weights, floats.packed_weights);
  for (const Op& op : codes.program.ops()) {
    EXPECT_TRUE(op.kind != &kPackWeight || op.attributes.flag("int8")) << op.name;
  }
  uses(codes.program);
}

TEST(PackedWeights, AreNoneWhereNothingIsGained) {
  EXPECT_EQ(packed(experts(), {.batch = 16}).packed_weights, 0) << "one micro-step";
  EXPECT_EQ(
      packed(experts({"data.sequence_length=32", "batch.tokens_per_step=512"})).packed_weights, 0)
      << "few rows";
  EXPECT_EQ(
      packed(experts({"data.sequence_length=4096", "batch.tokens_per_step=8192"})).packed_weights,
      0)
      << "so many rows that packing is no part of their time";
  EXPECT_EQ(compile_training(experts(), {}).packed_weights, 0) << "not asked for";
}

TEST(PackedWeights, ServeProductsThatAreComputedAgain) {
  const auto again = [](const Program& program, std::span<const SavedActivation> saved) {
    return storage_at(program, saved, ActivationLevel::recompute);
  };
  const TrainingProgram once = packed(experts()), twice = packed(experts(), {.storage = again});
  EXPECT_EQ(twice.packed_weights, once.packed_weights);
  EXPECT_GT(uses(twice.program).count(2), 0u);
}

TEST(PackedWeights, AreOfNoWeightThatIsCodedOrOffloaded) {
  EXPECT_EQ(packed(experts({"precision.master=int8"})).packed_weights, 0);
  const int some = packed(experts(), {.offload = OffloadSet::masters}).packed_weights;
  EXPECT_EQ(some, packed(experts()).packed_weights);
  EXPECT_LT(packed(experts(), {.offload = OffloadSet::all}).packed_weights, some);
}

}  // namespace
}  // namespace ingot
