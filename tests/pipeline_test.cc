// A pipeline in one process: chunks of layers, several micro-batches in flight. What it computes is
// what one micro-step after the other does, in the memory that the plan says.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "engine/numbers/random.h"
#include "memory/passes/activation_policy.h"
#include "memory/plan.h"
#include "tests/poison.h"
#include "tests/shuffled_backend.h"
#include "tests/tiny_run.h"
#include "tests/training_outcome.h"

namespace ingot {
namespace {

constexpr std::int64_t kMicroBatches = 6, kLayers = 5;

// Without MTP no weight is used by two chunks, unless embeddings are tied: then sums are made in
// the same order.
RunConfig config_of(const TinyRun& run, const std::string& family, nlohmann::json changes = {},
                    std::vector<std::string> overrides = {}) {
  nlohmann::json model = nlohmann::json::parse(tiny_model(family));
  model.update({{"num_hidden_layers", kLayers},
                {"tie_word_embeddings", false},
                {"num_nextn_predict_layers", 0}});
  if (!changes.is_null()) model.update(changes);
  overrides.push_back("model=" + model.dump());
  overrides.push_back("batch.micro_batch=2");
  RunConfig config = run.config("run", overrides);
  config.batch.tokens_per_step = kMicroBatches * 2 * config.data.sequence_length;
  return config;
}

PlannedTraining planned(const RunConfig& config, Backend& backend, TrainingOptions options) {
  options.batch = 2;
  return planned_as(compile_training(config, options), backend);
}

Outcome outcome_of(const RunConfig& config, const TrainingOptions& options) {
  cpu::CpuBackend backend = tiny_backend(2);
  TrainingEngine engine(planned(config, backend, options), backend, config);
  Poison poison(engine.executor());
  engine.executor().set_observer(&poison);
  return outcome_of(engine, kMicroBatches);
}

class PipelineOf : public testing::TestWithParam<const char*> {};

TEST_P(PipelineOf, ChunksInFlightGiveTheBitsOfOneMicroStepAfterTheOther) {
  const TinyRun run(GetParam(), "bf16");
  const RunConfig config = config_of(run, GetParam());
  const Outcome expected = outcome_of(config, {});
  for (const std::vector<int>& chunks : {std::vector{3}, {1, 2, 3, 4}}) {
    for (const bool split : {false, true}) {
      EXPECT_TRUE(outcome_of(config, {.chunks = chunks, .split_backward = split}) == expected)
          << chunks.size() + 1 << " chunks" << (split ? ", split" : "");
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, PipelineOf, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

TEST(Pipeline, GivesTheSameBitsInEveryFormOfStatesActivationsAndProducts) {
  const std::vector<std::vector<std::string>> forms = {
      {"precision.compute=int8", "precision.gradient=bf16", "data.sequence_length=32"},
      {"precision.compute=fp16"},
      {"precision.master=int8", "optimizer.state=int8", "precision.gradient=bf16_residual"},
      {"precision.master=bf16_residual", "optimizer.type=muon"}};
  for (const char* family : {"llama", "deepseek_v3"}) {
    const TinyRun run(family, "bf16");
    for (const std::vector<std::string>& form : forms) {
      const RunConfig config = config_of(run, family, {}, form);
      for (const ActivationLevel level : {ActivationLevel::int8, ActivationLevel::recompute}) {
        const auto storage = [level](const Program& program, auto saved) {
          return storage_at(program, saved, level);
        };
        const TrainingOptions whole{.storage = storage, .pack_weights = true};
        TrainingOptions cut = whole;
        cut.chunks = {2, 3};
        cut.split_backward = true;
        EXPECT_TRUE(outcome_of(config, cut) == outcome_of(config, whole))
            << family << " " << form[0] << ", level " << static_cast<int>(level);
      }
    }
  }
}

// The sum over head and embedding, or over embedding and MTP, is made in another order then.
TEST(Pipeline, OfSharedEmbeddingsDiffersByTheOrderOfSumsAlone) {
  const std::pair<const char*, nlohmann::json> shared[] = {
      {"llama", {{"tie_word_embeddings", true}}},
      {"deepseek_v3", {{"num_nextn_predict_layers", 2}}}};
  for (const auto& [family, changes] : shared) {
    const TinyRun run(family, "fp32");
    const RunConfig config = config_of(run, family, changes);
    const Outcome expected = outcome_of(config, {});
    for (const bool split : {false, true}) {
      const Outcome outcome = outcome_of(config, {.chunks = {1, 2, 3, 4}, .split_backward = split});
      for (std::size_t i = 0; i < expected.numbers.size(); ++i) {
        const double scale = std::max(1.0, std::abs(expected.numbers[i]));
        EXPECT_NEAR(outcome.numbers[i], expected.numbers[i], 1e-5 * scale) << family << " " << i;
      }
    }
  }
}

TEST(Pipeline, GivesTheSameBitsHoweverItsQueuesAreInterleaved) {
  const TinyRun run("deepseek_v2", "bf16");
  const RunConfig config = config_of(run, "deepseek_v2");
  const Outcome expected = outcome_of(config, {});
  for (const Shuffle policy : {Shuffle::any, Shuffle::others_last, Shuffle::others_first}) {
    ShuffledBackend backend(policy, 1);
    const TrainingOptions options{.offload = OffloadSet::all, .fetch_ahead = 2, .chunks = {1, 3}};
    TrainingEngine engine(planned(config, backend, options), backend, config);
    EXPECT_TRUE(outcome_of(engine, kMicroBatches) == expected) << static_cast<int>(policy);
  }
}

TEST(Pipeline, GivesTheSameBitsCutAnywhere) {
  const TinyRun run("deepseek_v3", "bf16");
  const RunConfig config = config_of(run, "deepseek_v3");
  const Outcome expected = outcome_of(config, {});
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    std::vector<int> chunks;
    for (int layer = 1; layer < kLayers; ++layer) {
      if (random_uniform(seed, 1, layer) < 0.5) chunks.push_back(layer);
    }
    const bool split = seed % 2 == 1 && !chunks.empty();
    EXPECT_TRUE(outcome_of(config, {.chunks = chunks, .split_backward = split}) == expected)
        << testing::PrintToString(chunks);
  }
}

TEST(Pipeline, DoesProductsThatOnlyTheUpdateWaitsForApart) {
  for (const char* family : {"llama", "deepseek_v3"}) {
    const TinyRun run(family, "bf16");
    const TrainingProgram compiled = compile_training(
        config_of(run, family), {.batch = 2, .chunks = {1, 3}, .split_backward = true});
    int apart = 0;
    for (const Op& op : compiled.program.ops()) {
      if (op.kind->product != Product::wgrad) continue;
      EXPECT_EQ(op.part.kind, PartKind::weight_gradients) << describe(compiled.program, op);
      ++apart;
    }
    EXPECT_GE(apart, 4 * kLayers);
  }
}

// Of the frame tensors, op by op, as if the whole schedule were one list.
std::int64_t most_alive(const Program& program, const Schedule& schedule) {
  std::map<std::pair<int, int>, std::pair<std::int64_t, std::int64_t>>
      lives;                           // tensor, micro-batch
  std::map<int, std::int64_t> begins;  // of micro-batches, which inputs live from
  std::int64_t time = 0;
  for (const Action& action : schedule) {
    begins.try_emplace(action.micro_batch, time);
    for (const Op& op : program.ops(action.part)) {
      for_operands(op, [&](Tensor t) {
        if (program.info(t).lifetime != Lifetime::frame) return;
        const bool is_input = program.info(t).role == Role::input;
        const std::int64_t first = is_input ? begins.at(action.micro_batch) : time;
        lives.try_emplace({t.id, action.micro_batch}, first, time).first->second.second = time;
      });
      ++time;
    }
  }
  std::map<std::int64_t, std::int64_t> changes;
  for (const auto& [tensor, life] : lives) {
    const std::int64_t bytes = program.tensors()[tensor.first].bytes();
    changes[life.first] += bytes;
    changes[life.second + 1] -= bytes;
  }
  std::int64_t now = 0, most = 0;
  for (const auto& [at, change] : changes) most = std::max(most, now += change);
  return most;
}

TEST(Pipeline, TakesTheMemoryOfTheMicroBatchesInFlightWhateverTheirNumber) {
  const TinyRun run("llama", "bf16");
  cpu::CpuBackend backend = tiny_backend(1);
  for (const bool split : {false, true}) {
    for (const std::int64_t micro_batches : {6, 12}) {
      RunConfig config = config_of(run, "llama");
      config.batch.tokens_per_step = micro_batches * 2 * 16;
      const PlannedTraining plan =
          planned(config, backend, {.chunks = {1, 2, 3}, .split_backward = split});
      const Program& program = plan.compiled->program;
      const auto bytes = static_cast<double>(plan.memory.frame_bytes);
      const auto least = static_cast<double>(most_alive(program, plan.compiled->schedule));
      EXPECT_GE(bytes, least);
      // Blocks live from part to part, tensors from op to op; and each begins at 256 bytes.
      EXPECT_LE(bytes, 1.25 * least);
      // Of four chunks with the same layers the first keeps four micro-batches, the last keeps one;
      // here the last is longer by a layer and the head.
      double one_micro_batch = 0;
      for (const TensorInfo& info : program.tensors()) {
        if (info.lifetime == Lifetime::frame) one_micro_batch += static_cast<double>(info.bytes());
      }
      EXPECT_LE(bytes, (split ? 4 : 2.5) * one_micro_batch);
    }
  }
}

}  // namespace
}  // namespace ingot
