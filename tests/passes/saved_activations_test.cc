#include "memory/passes/saved_activations.h"

#include <gtest/gtest.h>

#include "engine/config/config.h"
#include "memory/lifetimes.h"
#include "memory/passes/activation_policy.h"
#include "planning/compile/training_program.h"

namespace ingot {
namespace {

constexpr std::int64_t kTokens = 4096;

// Shapes of spec/memory.md B3.
constexpr const char* kV3 = R"("model_type": "deepseek_v3", "vocab_size": 129280,
  "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048,
  "first_k_dense_replace": 0, "num_attention_heads": 128, "num_key_value_heads": 128,
  "n_routed_experts": 256, "num_experts_per_tok": 8, "n_shared_experts": 1, "n_group": 8,
  "topk_group": 4, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64, "v_head_dim": 128, "num_nextn_predict_layers": 0)";
constexpr const char* kLlama8B = R"("model_type": "llama", "vocab_size": 128256,
  "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
  "num_key_value_heads": 8)";

struct Taken {
  double saved_bytes = 0;  // alive where forward ends
  double forward_and_backward_flops = 0, forward_flops = 0;
};

Taken taken(const std::string& model, int layers, ActivationLevel level) {
  const RunConfig config = parse_run_config(
      R"({"model": {)" + model + R"(, "max_position_embeddings": 4096, "num_hidden_layers": )" +
          std::to_string(layers) + R"(}, "data": {"sequence_length": 4096},
          "batch": {"tokens_per_step": 4096}, "precision": {"compute": "bf16"}})",
      "test", ".");
  const TrainingProgram compiled =
      compile_training(config, {.storage = [&](const Program& program, auto saved) {
                         return storage_at(program, saved, level);
                       }});
  const Program& program = compiled.program;
  const auto ops = program.ops(Part::micro_step);
  std::int64_t turn = 0;
  Taken result;
  for (const Op& op : ops) {
    (op.phase == Phase::forward ? result.forward_flops : result.forward_and_backward_flops) +=
        op.flops;
    if (op.phase == Phase::forward) ++turn;
  }
  result.forward_and_backward_flops += result.forward_flops;
  const Lifetimes lives = lifetimes(program);
  for (std::size_t i = 0; i < lives.owners.size(); ++i) {
    const TensorInfo& info = program.tensors()[lives.owners[i].tensor];
    const bool crosses = lives.buffers[i].first < turn && lives.buffers[i].last >= turn;
    if (crosses && info.lifetime == Lifetime::transient) {
      result.saved_bytes += static_cast<double>(info.bytes());
    }
  }
  return result;
}

// What one more layer takes, per token.
Taken layer_of(const std::string& model, ActivationLevel level) {
  const Taken two = taken(model, 2, level), three = taken(model, 3, level);
  const auto each = [](double a, double b) { return (b - a) / kTokens; };
  return {each(two.saved_bytes, three.saved_bytes),
          each(two.forward_and_backward_flops, three.forward_and_backward_flops),
          each(two.forward_flops, three.forward_flops)};
}

TEST(SavedActivations, OfALayerOfDeepseekV3TakeAtMost88KilobytesATokenForThreePercentOfItsFlops) {
  const Taken kept = layer_of(kV3, ActivationLevel::keep);
  const Taken compact = layer_of(kV3, ActivationLevel::compact);
  EXPECT_LE(compact.saved_bytes, 88'000);
  EXPECT_LE(compact.forward_and_backward_flops, 1.03 * kept.forward_and_backward_flops);
  EXPECT_EQ(compact.forward_flops, kept.forward_flops);
  EXPECT_GT(kept.saved_bytes, 4.5 * compact.saved_bytes);
}

TEST(SavedActivations, OfALlamaLayerTakeAtMost57KilobytesATokenForAThousandthOfItsFlops) {
  const Taken kept = layer_of(kLlama8B, ActivationLevel::keep);
  const Taken int8 = layer_of(kLlama8B, ActivationLevel::int8);
  EXPECT_LE(int8.saved_bytes, 57'000);
  EXPECT_LE(int8.forward_and_backward_flops, 1.001 * kept.forward_and_backward_flops);
}

TEST(SavedActivations, ComputedAgainLeaveTheLayersInputsOnly) {
  for (const char* model : {kV3, kLlama8B}) {
    const Taken kept = layer_of(model, ActivationLevel::keep);
    const Taken again = layer_of(model, ActivationLevel::recompute);
    const double hidden = model == kV3 ? 7168 : 4096;
    // The stream in bf16, and what the router decided.
    EXPECT_GE(again.saved_bytes, 2 * hidden);
    EXPECT_LE(again.saved_bytes, 2 * hidden + 2000);
    // One more forward, less what only the residual stream needed.
    EXPECT_LE(again.forward_and_backward_flops,
              kept.forward_and_backward_flops + kept.forward_flops);
    EXPECT_GT(again.forward_and_backward_flops,
              kept.forward_and_backward_flops + 0.6 * kept.forward_flops);
  }
}

TEST(SavedActivations, AChoiceThatIsNotOfferedIsRefused) {
  const RunConfig config = parse_run_config(
      std::string(R"({"model": {)") + kLlama8B + R"(, "num_hidden_layers": 1}})", "test", ".");
  for (const Storage storage : {Storage::int8, Storage::recompute}) {
    // The stream between layers is neither.
    const auto all_checkpoints = [&](const Program& program, auto saved) {
      std::vector<Storage> all(program.tensors().size());
      for (const SavedActivation& activation : saved) {
        const bool checkpoint = program.tensors()[activation.tensor].saving == Saving::checkpoint;
        if (checkpoint) all[activation.tensor] = storage;
      }
      return all;
    };
    EXPECT_THROW(compile_training(config, {.storage = all_checkpoints}), std::logic_error);
  }
}

TEST(CheapestStorage, FollowsThePriceOfMemory) {
  const SavedActivation activation{.bytes = 200, .int8_bytes = 104, .recomputable = true};
  const StorageCosts costs{.int8_seconds = 1, .recompute_seconds = 10};
  EXPECT_EQ(cheapest_storage(activation, costs, 0), Storage::keep);
  EXPECT_EQ(cheapest_storage(activation, costs, 1.0 / 97), Storage::keep);
  EXPECT_EQ(cheapest_storage(activation, costs, 1.0 / 95), Storage::int8);
  EXPECT_EQ(cheapest_storage(activation, costs, 9.0 / 105), Storage::int8);
  EXPECT_EQ(cheapest_storage(activation, costs, 9.0 / 103), Storage::recompute);
}

}  // namespace
}  // namespace ingot
