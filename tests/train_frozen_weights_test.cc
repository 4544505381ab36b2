// Frozen weights: nothing is computed or kept in order to move them, and what is upstream of them
// learns as if they moved.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "memory/plan.h"
#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"
#include "weights/checkpoint_saver.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

using LearningOf = std::function<Learning(std::string_view)>;

LearningOf only(std::string_view prefix) {
  return [prefix](std::string_view name) {
    return name.starts_with(prefix) ? Learning::gradient : Learning::frozen;
  };
}

std::unique_ptr<TrainingEngine> make_engine(const RunConfig& config, Backend& backend,
                                            const LearningOf& learning) {
  PlannedTraining plan = plan_training(config, backend);
  *plan.compiled = compile_training(config, {.batch = plan.compiled->batch, .learning = learning});
  plan.bound = std::make_unique<BoundProgram>(plan.compiled->program, backend);
  plan.memory = plan_memory(plan.compiled->program, *plan.bound);
  auto engine = std::make_unique<TrainingEngine>(std::move(plan), backend, config);
  initialize_weights(engine->executor(), 1, 1);
  engine->settings().learning_rate = 1e-2;
  return engine;
}

void step(TrainingEngine& engine, std::uint64_t number) {
  const StepReport report =
      engine.step(1, [&](auto tokens, auto targets) { learnable_batch(number, tokens, targets); });
  EXPECT_TRUE(std::isfinite(report.loss) && !report.skipped);
}

std::string bytes_of(const Executor& executor, const WeightState& state) {
  std::string bytes(executor.program().info(state.values).bytes(), '\0');
  executor.read(state.values, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::map<std::string, std::string> all_of(const Executor& executor, WeightState Weight::*state) {
  std::map<std::string, std::string> all;
  for (const Weight& weight : executor.program().weights()) {
    if (weight.*state) all[weight.name] = bytes_of(executor, weight.*state);
  }
  return all;
}

class Frozen : public testing::TestWithParam<const char*> {
 protected:
  const TinyRun run_{GetParam()};
  const RunConfig config_ = run_.config("run");
  cpu::CpuBackend backend_ = tiny_backend(2);
};

constexpr const char* kMatrix = "layers.0.mlp.gate_proj";

TEST_P(Frozen, WeightsHaveNoGradientNoMomentsAndNoOpThatWouldMoveThem) {
  const TrainingProgram compiled = compile_training(config_, {.learning = only(kMatrix)});
  const Program& program = compiled.program;
  std::vector<const Weight*> learning;
  for (const Weight& weight : program.weights()) {
    if (weight.learning != Learning::frozen) learning.push_back(&weight);
    if (weight.learning == Learning::frozen) {
      EXPECT_FALSE(weight.gradient || weight.first_moment || weight.second_moment) << weight.name;
      EXPECT_EQ(weight.value.values, weight.compute) << weight.name;
    }
  }
  ASSERT_EQ(learning.size(), 1);
  EXPECT_TRUE(learning[0]->gradient && learning[0]->first_moment && learning[0]->second_moment);
  std::map<std::string_view, int> count;
  for (const Op& op : program.ops()) {
    ++count[op.kind->name];
    for (const Tensor t : op.outputs) {
      if (!t) continue;
      const Role role = program.info(t).role;
      if (role == Role::gradient && program.info(t).shape == learning[0]->shape) {
        EXPECT_EQ(t.id, learning[0]->gradient.values.id);
      }
    }
  }
  EXPECT_EQ(count["linear_wgrad"], 1);
  EXPECT_GT(count["linear_dgrad"], 0);  // through what lies behind
  for (const char* kind : {"grouped_linear_wgrad", "embedding_backward", "bias_gradient"}) {
    EXPECT_EQ(count[kind], 0) << kind;
  }
  EXPECT_EQ(count["adamw"], 1);
}

TEST_P(Frozen, WeightsLetThroughTheGradientThatTheyLetThroughWhenTheyLearn) {
  const auto part = make_engine(config_, backend_, only(kMatrix));
  const auto all = make_engine(config_, backend_, learn_everything);
  step(*part, 1);
  step(*all, 1);
  const auto expected = all_of(all->executor(), &Weight::gradient);
  const auto gradients = all_of(part->executor(), &Weight::gradient);
  ASSERT_EQ(gradients.size(), 1);
  for (const auto& [name, bytes] : gradients) EXPECT_EQ(bytes, expected.at(name)) << name;
}

TEST_P(Frozen, WeightsStayAsTheyAreAndAreSavedWithAModelThatTrains) {
  const auto engine = make_engine(config_, backend_, only("layers.0."));
  const auto before = all_of(engine->executor(), &Weight::value);
  step(*engine, 1);
  step(*engine, 2);
  const auto after = all_of(engine->executor(), &Weight::value);
  for (const auto& [name, bytes] : after) {
    EXPECT_EQ(bytes != before.at(name), name.starts_with("layers.0.")) << name;
  }
  save_checkpoint(engine->executor(), 2, config_, nlohmann::json::object(),
                  {.directory = run_.directory("saved")});
  const auto other = make_engine(config_, backend_, learn_everything);
  load_checkpoint(CheckpointReader::open(run_.directory("saved") / checkpoint_name(2)),
                  other->executor());
  EXPECT_EQ(all_of(other->executor(), &Weight::value), after);
}

INSTANTIATE_TEST_SUITE_P(Families, Frozen, testing::Values("llama", "qwen2", "deepseek_v3"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace ingot
