#include "planning/plan_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "backends/cpu/cpu_backend.h"
#include "engine/base/error.h"
#include "memory/plan.h"
#include "ops/cpu_kernels.h"
#include "planning/compile/plan_record.h"

namespace ingot {
namespace {

// 512 tokens whose whole logits take 64 MiB, 8 times what everything else does.
RunConfig wide_head(const std::vector<std::string>& overrides = {}) {
  return parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 32768,
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "data": {"sequence_length": 256}, "batch": {"tokens_per_step": 512, "micro_batch": 2}})",
                          "run.json", ".", overrides);
}

// A head that is twice as slow with chunks of 64 tokens as with 512.
CostModel head_costs() {
  CostModel costs;
  for (const auto& [rows, rate] : {std::pair{64.0, 4e-12}, std::pair{512.0, 2e-12}}) {
    costs.add("cross_entropy_backward bf16 i32 f32 bf16 f32",
              {.rows = rows, .flops = 1, .bytes = 1, .seconds = rate});
  }
  return costs;
}

class HeadChunk : public testing::Test {
 protected:
  PlanSearchResult search(const RunConfig& config, std::int64_t arena_bytes,
                          std::optional<ActivationLevel> level = std::nullopt) {
    return search_plans(config, backend_, costs_,
                        {.batches = {2},
                         .states = {OptimizerState::fp32},
                         .offloads = {OffloadSet::none},
                         .level = level,
                         .arena_bytes = arena_bytes});
  }
  PlanOption unlimited(const RunConfig& config) {
    return search(config, std::int64_t{1} << 40).fitting.at(0);
  }

  cpu::CpuBackend backend_{1, cpu::all_cpu_kernels()};
  CostModel costs_ = head_costs();
};

TEST_F(HeadChunk, IsTheRulesWhereThereIsRoom) {
  EXPECT_EQ(unlimited(wide_head()).choices.head_chunk, 512);
}

TEST_F(HeadChunk, ShrinksAsFarAsTheBudgetAsksAndIsPredictedSlower) {
  const PlanOption whole = unlimited(wide_head());
  std::int64_t last = whole.choices.head_chunk;
  for (const std::int64_t mebibytes : {16, 40, 50}) {
    const std::int64_t budget = whole.arena_bytes - (mebibytes << 20);
    const PlanSearchResult found = search(wide_head(), budget);
    ASSERT_FALSE(found.fitting.empty()) << mebibytes;
    const PlanOption& option = found.fitting[0];
    EXPECT_LE(option.arena_bytes, budget);
    EXPECT_LT(option.choices.head_chunk, 512);
    EXPECT_LE(option.choices.head_chunk, last);
    EXPECT_GT(option.step_seconds, whole.step_seconds);
    last = option.choices.head_chunk;
  }
}

TEST_F(HeadChunk, ShrinksWhereTheConfigNamesHowActivationsAreStored) {
  const PlanOption whole = unlimited(wide_head());
  const std::int64_t budget = whole.arena_bytes - (40 << 20);
  const PlanSearchResult found = search(wide_head(), budget, ActivationLevel::keep);
  ASSERT_EQ(found.fitting.size(), 1u);
  EXPECT_EQ(found.fitting[0].choices.head_chunk, 128);  // 16 of 64 MiB: 24 would not be a half
  EXPECT_LE(found.fitting[0].arena_bytes, budget);
}

TEST_F(HeadChunk, StaysAsTheConfigNamesIt) {
  const RunConfig config = wide_head({"memory.head_chunk=512"});
  const std::int64_t budget = unlimited(config).arena_bytes - (40 << 20);
  EXPECT_TRUE(search(config, budget).fitting.empty());
  EXPECT_TRUE(search(config, budget, ActivationLevel::keep).fitting.empty());
  EXPECT_EQ(unlimited(wide_head({"memory.head_chunk=100"})).choices.head_chunk, 100);
}

TEST_F(HeadChunk, IsRecordedAndCompiledAgain) {
  const RunConfig config = wide_head();
  const std::int64_t budget = unlimited(config).arena_bytes - (40 << 20);
  const PlanChoices choices = search(config, budget).fitting.at(0).choices;
  TrainingProgram compiled = compile_chosen(config, choices, &costs_);
  const nlohmann::json json = to_json(record_of(compiled));
  EXPECT_EQ(json["head_chunk"], choices.head_chunk);
  const PlanRecord record = parse_plan_record(json, "here");
  EXPECT_EQ(record, record_of(compiled));
  TrainingProgram again = compile_recorded(config, record);
  EXPECT_EQ(again.head_chunk, choices.head_chunk);
  const BoundProgram bound(compiled.program, backend_), bound_again(again.program, backend_);
  EXPECT_EQ(least_arena_bytes(again.program, bound_again),
            least_arena_bytes(compiled.program, bound));
}

// Eight micro-steps a step.
RunConfig accumulating() {
  return wide_head({"batch.tokens_per_step=2048", "batch.micro_batch=1"});
}

class Packing : public HeadChunk {
 protected:
  PlanOption best(std::int64_t arena_bytes) {
    return search_plans(accumulating(), backend_, costs_,
                        {.batches = {1},
                         .states = {OptimizerState::fp32},
                         .offloads = {OffloadSet::none},
                         .arena_bytes = arena_bytes})
        .fitting.at(0);
  }
};

TEST_F(Packing, IsChosenWhereThereIsRoomAndNothingElseIsGivenUpForIt) {
  const PlanOption roomy = best(std::int64_t{1} << 40);
  EXPECT_TRUE(roomy.choices.pack_weights);
  const PlanOption tight = best(roomy.arena_bytes - 1);
  PlanChoices without = roomy.choices;
  without.pack_weights = false;
  EXPECT_EQ(tight.choices, without);
  EXPECT_LT(tight.arena_bytes, roomy.arena_bytes);
  EXPECT_GT(tight.step_seconds, roomy.step_seconds);
}

TEST_F(Packing, IsRecordedAndOlderRecordsHaveNone) {
  const TrainingProgram compiled =
      compile_chosen(accumulating(), best(std::int64_t{1} << 40).choices, &costs_);
  nlohmann::json json = to_json(record_of(compiled));
  const PlanRecord record = parse_plan_record(json, "here");
  EXPECT_EQ(compile_recorded(accumulating(), record).packed_weights, compiled.packed_weights);
  json.erase("pack_weights");
  EXPECT_EQ(compile_recorded(accumulating(), parse_plan_record(json, "here")).packed_weights, 0);
}

// Weights of about the same size in every layer.
RunConfig layered(const std::vector<std::string>& overrides = {}) {
  return parse_run_config(R"({"model": {"model_type": "llama", "vocab_size": 256,
    "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 8, "num_attention_heads": 4},
    "data": {"sequence_length": 128}, "batch": {"tokens_per_step": 256, "micro_batch": 2}})",
                          "run.json", ".", overrides);
}

// A machine whose disk takes as long for the file as its cores for everything else, or longer.
class FetchAhead : public HeadChunk {
 protected:
  FetchAhead() {
    for (const char* key : {"fetch", "store", "fetch copy in", "store copy out"}) {
      costs_.add(key, {.bytes = 1, .seconds = 1e-11});
    }
    costs_.set_disk({1e-9, 1e-9}, 0);
  }
  PlanOption best(const RunConfig& config, std::int64_t arena_bytes = std::int64_t{1} << 40) {
    return search_plans(config, backend_, costs_,
                        {.batches = {2},
                         .states = {OptimizerState::fp32},
                         .offloads = {OffloadSet::all},
                         .arena_bytes = arena_bytes})
        .fitting.at(0);
  }
};

TEST_F(FetchAhead, IsChosenWhereCopiesWaitForTheDisk) {
  const PlanOption ahead = best(layered()), none = best(layered({"memory.fetch_ahead=0"}));
  EXPECT_GT(ahead.choices.fetch_ahead, 0);
  EXPECT_EQ(none.choices.fetch_ahead, 0);
  EXPECT_LT(ahead.step_seconds, none.step_seconds);
  EXPECT_GT(ahead.arena_bytes, none.arena_bytes);
  EXPECT_EQ(best(layered({"memory.fetch_ahead=3"})).choices.fetch_ahead, 3);
}

TEST_F(FetchAhead, IsNoneWhereTheFilesPagesFitMemory) {
  costs_.set_disk({1e-7, 1e-7}, std::int64_t{1} << 30);
  EXPECT_EQ(best(layered()).choices.fetch_ahead, 0);
}

TEST_F(FetchAhead, TakesNoMoreThanThereIs) {
  const PlanOption ahead = best(layered());
  const std::int64_t less = ahead.arena_bytes - 1;
  EXPECT_LE(best(layered(), less).arena_bytes, less);
}

TEST_F(FetchAhead, IsRecordedAndOlderRecordsHaveNone) {
  const TrainingProgram compiled = compile_chosen(layered(), best(layered()).choices, &costs_);
  nlohmann::json json = to_json(record_of(compiled));
  EXPECT_EQ(json["fetch_ahead"], compiled.fetch_ahead);
  const TrainingProgram again = compile_recorded(layered(), parse_plan_record(json, "here"));
  EXPECT_EQ(again.fetch_ahead, compiled.fetch_ahead);
  EXPECT_EQ(again.program.ops().size(), compiled.program.ops().size());
  json.erase("fetch_ahead");
  EXPECT_EQ(compile_recorded(layered(), parse_plan_record(json, "here")).fetch_ahead, 0);
  json["fetch_ahead"] = 17;
  EXPECT_THROW(parse_plan_record(json, "here"), Error);
}

// Also of fp32, where the scales and the values that are made from codes have one dtype.
TEST(StorageInEightBits, CostsWhatQuantizingAndDequantizingWereTimed) {
  const auto in_8_bits = [](double seconds_per_byte) {
    CostModel costs;
    for (const char* key : {"quantize f32 i8 f32", "dequantize i8 f32"}) {
      costs.add(key, {.rows = 512, .bytes = 1, .seconds = seconds_per_byte});
    }
    const TrainingProgram compiled = compile_chosen(
        wide_head({"precision.compute=fp32"}),
        {.micro_batch = 2, .cheap_price = 1e-9, .dear_price = 1e-9, .dear_layers = 2}, &costs);
    return std::ranges::count(compiled.stored, Storage::int8,
                              &std::pair<std::string, Storage>::second);
  };
  EXPECT_GT(in_8_bits(1e-12), 0);
  EXPECT_EQ(in_8_bits(1), 0);
}

TEST_F(HeadChunk, OfOlderRecordsIsTheRules) {
  nlohmann::json json = to_json(record_of(compile_training(wide_head(), {.batch = 2})));
  json.erase("head_chunk");
  EXPECT_EQ(compile_recorded(wide_head(), parse_plan_record(json, "here")).head_chunk, 512);
  json["head_chunk"] = -1;
  EXPECT_THROW(parse_plan_record(json, "here"), Error);
}

}  // namespace
}  // namespace ingot
