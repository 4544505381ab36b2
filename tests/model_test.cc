// The compiled program has exactly the parameters that the published models have (spec
// section 8.2), found without allocating one of them.
#include "layers/model.h"

#include <gtest/gtest.h>

#include <set>

#include "planning/compile/training_program.h"

namespace ingot {
namespace {

class PublishedModel : public testing::TestWithParam<const char*> {};

TEST_P(PublishedModel, HasItsParametersUnderItsCheckpointNames) {
  RunConfig config;
  config.model = load_model_config(std::string("configs/models/") + GetParam() + ".json");
  config.data.sequence_length = 8;
  config.batch.tokens_per_step = 8;
  const TrainingProgram compiled = compile_training(config, {});
  std::int64_t elements = 0;
  std::set<std::string> names;
  for (const Weight& weight : compiled.program.weights()) {
    std::int64_t covered = 0;
    for (const WeightPart& part : weight.parts) {
      EXPECT_EQ(part.offset, covered);
      covered += part.shape.elements();
      EXPECT_TRUE(names.insert(part.name).second) << part.name;
    }
    EXPECT_EQ(covered, weight.shape.elements());
    elements += covered;
  }
  const ParameterCount expected = count_parameters(config.model);
  EXPECT_EQ(elements, expected.total + expected.mtp);
  EXPECT_TRUE(names.count("model.embed_tokens.weight"));
  EXPECT_TRUE(names.count("model.norm.weight"));
}

INSTANTIATE_TEST_SUITE_P(Shipped, PublishedModel,
                         testing::Values("deepseek_llm_7b", "deepseek_llm_67b", "deepseek_v2_lite",
                                         "deepseek_v2", "deepseek_v3", "r1_distill_qwen_1_5b",
                                         "r1_distill_qwen_7b", "r1_distill_llama_8b",
                                         "r1_0528_qwen3_8b", "quickstart"),
                         [](const auto& info) { return std::string(info.param); });

std::set<std::string> part_names(const Program& program, int set) {
  std::set<std::string> names;
  for (const Weight& weight : program.weights()) {
    for (const WeightPart& part : weight.parts) {
      if (weight.set == set) names.insert(part.name);
    }
  }
  return names;
}

TEST(Sets, OfATeacherAreTensorsOfTheirOwnUnderTheCheckpointNamesOfTheModel) {
  const ModelConfig config = load_model_config("configs/models/deepseek_v2_lite.json");
  Program program;
  program.begin(Part::micro_step);
  Builder model(program, config, {.sequence = 8, .learning = learn_everything});
  const ModelInputs inputs = model_inputs(model, /*with_mtp=*/false);
  model_losses(model, inputs);
  const int set = program.add_set({WeightSet::Kind::teacher, "teacher"});
  const Scope scope(program, "teacher");
  Builder teacher(program, config, {.sequence = 8, .set = set});
  std::vector<RouterOutputs> routers;
  model_logits(teacher, model_hidden(teacher, inputs.tokens, routers));
  EXPECT_EQ(part_names(program, set), part_names(program, 0));
  std::set<int> tensors;
  for (const Weight& weight : program.weights()) {
    EXPECT_TRUE(tensors.insert(weight.compute.id).second) << weight.name;
    EXPECT_EQ(weight.name.starts_with("teacher."), weight.set == set) << weight.name;
    EXPECT_EQ(weight.learning == Learning::frozen, weight.set == set) << weight.name;
  }
}

}  // namespace
}  // namespace ingot
