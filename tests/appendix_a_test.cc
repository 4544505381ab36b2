// Reference values of an independent float64 implementation, agreed with Hugging Face transformers
// 5.23 (the project's model reference, Appendix A): weights by a rule, so that a few printed
// numbers check forward, gradients, balance losses and the whole of a training step.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "memory/plan.h"
#include "tests/appendix_a_model.h"
#include "weights/weight_copy.h"

namespace ingot::appendix_a {
namespace {

using nlohmann::json;

// What the reference says of an fp32 engine: 2e-5 of the value, or of the largest for logits.
constexpr double kTolerance = 2e-5;

void expect_close(double actual, double expected, const std::string& what) {
  EXPECT_NEAR(actual, expected, kTolerance * std::fabs(expected)) << what;
}

TEST(FillRule, GivesThePrintedValues) {
  EXPECT_EQ(splitmix64(0), 0xe220a8397b1dcdafu);
  EXPECT_EQ(fnv1a("model.embed_tokens.weight"), 0xa88fd795d5c6d156u);
  const std::map<std::string, std::array<double, 3>> printed = {
      {"model.embed_tokens.weight", {-0.051483821, -0.059357025, 0.161241025}},
      {"model.norm.weight", {0.819475114, 0.928520679, 0.864079833}},
      {"model.layers.1.mlp.gate.e_score_correction_bias",
       {-0.070000552, -0.047074676, -0.068060890}}};
  for (const auto& [name, values] : printed) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_NEAR(fill_value(name, i), values[i], 1e-9) << name;
    }
  }
}

struct Forward {
  const char* id;
  std::int64_t parameters;  // without selection biases
  double loss;
  std::array<double, 4> first, last;  // logits[0, 0, 0..3], logits[1, 11, 252..255]
  double squares;                     // sum of all logits squared
};
const Forward kForward[] = {
    {"v3",
     192568,
     5.7961130558,
     {-1.0922822, -0.5906760, 0.6397958, 0.0437525},
     {0.0079005, -0.4990254, 0.5955440, -0.8235516},
     5193.711602},
    {"v3yarn",
     192568,
     5.8114610636,
     {-1.0922822, -0.5906760, 0.6397958, 0.0437525},
     {-1.0824940, -0.3749257, 0.5286955, -0.1172034},
     5141.540707},
    {"v2lite",
     207856,
     5.7671001140,
     {-0.8658522, -1.1409100, -0.0648520, 0.9941203},
     {-0.0701428, 0.0380681, 0.9514914, 0.4882667},
     5323.977056},
    {"v2group",
     204856,
     5.8509647117,
     {-0.3022077, -0.3090233, 0.5479408, -0.1561749},
     {0.4377930, -0.4270226, -0.0835478, 0.8016737},
     5163.439909},
    {"llama",
     106816,
     5.7671089416,
     {-1.1064769, -0.1325258, 0.4954346, -0.4855400},
     {0.1886521, 0.0638251, -0.2398745, -1.8454693},
     4934.121517},
    {"qwen2",
     90688,
     6.0077258072,
     {1.8097238, -0.3285143, 0.6320410, -1.3029074},
     {0.6343431, -0.6945004, -0.1914409, 0.4828029},
     5521.300540},
    {"qwen3",
     131520,
     5.8692619251,
     {1.4007926, -0.2512356, 1.4978898, 0.5970994},
     {0.5305688, 0.2344437, -0.1215896, -0.2539140},
     5068.742011},
};

class AppendixA1 : public testing::TestWithParam<Forward> {};

std::vector<float> logits_of(const ModelConfig& model, const Data& data) {
  cpu::CpuBackend backend = tiny_backend(2);
  Program program;
  program.begin(Part::evaluation);
  Builder b(program, model, {.batch = kBatch, .sequence = kSequence, .dtype = DType::f32});
  const ModelInputs inputs = model_inputs(b, /*with_mtp=*/false);
  std::vector<RouterOutputs> routers;
  const Tensor logits = model_logits(b, model_hidden(b, inputs.tokens, routers));
  program.info(logits).lifetime = Lifetime::parts;
  BoundProgram bound(program, backend);
  const MemoryPlan plan = plan_memory(program, bound);
  Executor executor(program, std::move(bound), plan.placement, backend);
  fill_weights(executor);
  executor.write(inputs.tokens, std::as_bytes(std::span(data.tokens)));
  executor.run(Part::evaluation);
  std::vector<float> values(kBatch * kSequence * kVocabulary);
  executor.read(logits, std::as_writable_bytes(std::span(values)));
  return values;
}

TEST_P(AppendixA1, LossAndLogits) {
  const Forward& expected = GetParam();
  Reference reference(model_json(expected.id));
  const ParameterCount count = count_parameters(reference.config().model);
  const std::int64_t biases = std::string(expected.id).starts_with("v3") ? 16 : 0;
  EXPECT_EQ(count.total, expected.parameters + biases);
  EXPECT_NEAR(reference.micro_step().main.mean(), expected.loss, 1e-5);

  const std::vector<float> logits = logits_of(reference.config().model, reference.data());
  double squares = 0, largest = 0;
  for (const float value : logits) {
    squares += static_cast<double>(value) * value;
    largest = std::max(largest, std::fabs(static_cast<double>(value)));
  }
  expect_close(squares, expected.squares, "sum of squares");
  for (int i = 0; i < 4; ++i) {
    EXPECT_NEAR(logits[i], expected.first[i], kTolerance * largest) << i;
    EXPECT_NEAR(logits[logits.size() - 4 + i], expected.last[i], kTolerance * largest) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, AppendixA1, testing::ValuesIn(kForward),
                         [](const auto& info) { return std::string(info.param.id); });

TEST(AppendixA1Variants, OneGroupAndAllDense) {
  json one_group = model_json("v3");
  one_group.update({{"n_group", 1}, {"topk_group", 1}});
  EXPECT_NEAR(Reference(one_group).micro_step().main.mean(), 5.81306934, 1e-5);
  json all_dense = model_json("v3");
  all_dense["first_k_dense_replace"] = 3;
  EXPECT_NEAR(Reference(all_dense).micro_step().main.mean(), 5.99399567, 1e-5);
}

// Norms of all gradients, embed_tokens, norm, and of layer 1: q_a_proj (or q_proj), kv_a_proj (or
// k_proj), mlp.gate (or mlp.gate_proj), experts.3.up_proj.
struct GradientNorms {
  const char* id;
  double all, embedding, norm, query, key, gate, expert;
};
const GradientNorms kGradientNorms[] = {
    {"v3", 10.48454087, 5.276726, 0.1952279, 0.1343369, 0.6624616, 0.09833866, 0.5828754},
    {"v3yarn", 11.63266754, 5.877890, 0.1880339, 0.3191290, 0.8041920, 0.1185367, 0.5537922},
    {"v2lite", 9.71611680, 4.978014, 0.2198045, 0.1934583, 0.6942224, 0.2120212, 0.1359909},
    {"v2group", 13.46839989, 6.702499, 0.2005076, 0.2591461, 0.8761355, 1.025008, 0.6158233},
    {"llama", 8.30743346, 4.314144, 0.2250975, 0.4620729, 0.4532751, 0.9347127, 0},
    {"qwen2", 6.76346079, 3.816734, 0.2218571, 0.4116585, 0.4224761, 0.8588596, 0},
    {"qwen3", 6.40683529, 3.099052, 0.2028292, 0.3928037, 0.4208838, 0.7962950, 0},
};

class AppendixA2 : public testing::TestWithParam<GradientNorms> {};

TEST_P(AppendixA2, GradientNorms) {
  const GradientNorms& expected = GetParam();
  Reference reference(model_json(expected.id));
  reference.micro_step();
  const std::string id = expected.id, layer = "model.layers.1.";
  const bool latent = id.starts_with("v");
  const std::string query = latent && id != "v2lite" ? "q_a_proj" : "q_proj";
  const auto expect = [&](const std::string& name, double norm) {
    expect_close(reference.gradient_norm(name), norm, name);
  };
  expect("", expected.all);
  expect("model.embed_tokens.weight", expected.embedding);
  expect("model.norm.weight", expected.norm);
  expect(layer + "self_attn." + query + ".weight", expected.query);
  expect(layer + "self_attn." + (latent ? "kv_a_proj_with_mqa" : "k_proj") + ".weight",
         expected.key);
  expect(layer + "mlp." + (latent ? "gate" : "gate_proj") + ".weight", expected.gate);
  if (latent) expect(layer + "mlp.experts.3.up_proj.weight", expected.expert);
}

INSTANTIATE_TEST_SUITE_P(Models, AppendixA2, testing::ValuesIn(kGradientNorms),
                         [](const auto& info) { return std::string(info.param.id); });

TEST(AppendixA3, BalanceTermsOfEachRouter) {
  const std::map<std::string, std::array<double, 2>> expected = {
      {"v3", {1.05325379, 1.05261378}},
      {"v3yarn", {1.05330286, 1.06997798}},
      {"v2lite", {1.16748306, 1.37686040}},
      {"v2group", {1.12448934, 1.16049373}}};
  for (const auto& [id, terms] : expected) {
    Reference reference(model_json(id));
    const double sum = reference.micro_step().balance;
    ASSERT_EQ(reference.balances().size(), 2u);
    for (int i = 0; i < 2; ++i) expect_close(reference.balances()[i], terms[i], id);
    expect_close(sum, terms[0] + terms[1], id);
  }
}

struct TrainingStep {
  double main, mtp;
  std::array<double, 3> balances;  // of layers 1, 2 and the MTP module
  double objective, norm;
};
const TrainingStep kTraining[] = {
    {5.79611306, 5.83578316, {1.05325379, 1.05261378, 1.04190048}, 7.57832568, 10.57916594},
    {4.61302498, 5.42879488, {1.05405910, 1.09616217, 1.07746268}, 6.27394028, 8.59118603},
    {3.96629946, 5.14947421, {1.06206455, 1.08539716, 1.07741512}, 5.54339049, 7.35058675},
    {3.31659765, 4.76420707, {1.06060259, 1.07024612, 1.05418976}, 4.77771016, 6.80760972},
};

// V3 with its MTP module, balance loss, clipping, AdamW and the update of the selection bias.
TEST(AppendixA4, FourTrainingSteps) {
  Reference reference(model_json("v3+mtp"));
  TrainingEngine& engine = reference.engine();
  StepSettings& state = engine.settings();
  state.learning_rate = 1e-3;
  state.mtp_weight = 0.3;
  state.balance_weight = 0.01;
  state.bias_update_rate = 0.001;
  for (std::size_t step = 0; step < std::size(kTraining); ++step) {
    const TrainingStep& expected = kTraining[step];
    const std::string at = "step " + std::to_string(step);
    const auto losses = reference.micro_step();
    EXPECT_EQ(losses.main.targets, kBatch * (kSequence - 1));
    EXPECT_EQ(losses.mtp.targets, kBatch * (kSequence - 2));
    expect_close(losses.main.mean(), expected.main, at);
    expect_close(losses.mtp.mean(), expected.mtp, at);
    const auto balances = reference.balances();
    ASSERT_EQ(balances.size(), 3u);
    for (int i = 0; i < 3; ++i) expect_close(balances[i], expected.balances[i], at);
    expect_close(losses.main.mean() + 0.3 * losses.mtp.mean() + 0.01 * losses.balance,
                 expected.objective, at);
    if (step == 0) {
      const std::vector<std::vector<std::int32_t>> loads = {
          {0, 3, 6, 12, 10, 7, 7, 3}, {4, 3, 12, 6, 9, 9, 2, 3}, {4, 8, 6, 5, 5, 7, 3, 6}};
      EXPECT_EQ(reference.loads(), loads);
      const std::map<std::string, double> norms = {
          {"model.embed_tokens.weight", 5.363445},
          {"lm_head.weight", 1.793943},
          {"model.layers.3.eh_proj.weight", 0.6306808},
          {"model.layers.1.mlp.gate.weight", 0.1291277},
          {"model.layers.3.mlp.gate.weight", 0.04645169},
          {"model.layers.0.self_attn.kv_b_proj.weight", 3.555593}};
      for (const auto& [name, norm] : norms) {
        expect_close(reference.gradient_norm(name), norm, name);
      }
    }
    const StepReport report = engine.finish_step();
    EXPECT_FALSE(report.skipped);
    expect_close(report.grad_norm, expected.norm, at);
  }
}

// Both token embeddings and both heads read the one matrix, so its gradient is the sum of those of
// an embedding and a head with the same values.
TEST(TiedEmbeddings, WithMtpTheirGradientIsThatOfEmbeddingAndHead) {
  json model = model_json("v3+mtp");
  Reference untied(model);
  Executor& executor = untied.engine().executor();
  for (const Weight& weight : executor.program().weights()) {
    for (const WeightPart& part : weight.parts) {
      if (part.name != "lm_head.weight") continue;
      std::vector<float> values(part.shape.elements());
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = fill_value("model.embed_tokens.weight", i);
      }
      write_weight_part(executor, weight, &Weight::value, part, values);
    }
  }
  model["tie_word_embeddings"] = true;
  Reference tied(model);
  untied.engine().settings().mtp_weight = tied.engine().settings().mtp_weight = 0.3;
  const auto expected = untied.micro_step(), losses = tied.micro_step();
  expect_close(losses.main.mean(), expected.main.mean(), "loss");
  expect_close(losses.mtp.mean(), expected.mtp.mean(), "MTP loss");
  const auto sum = tied.gradient("model.embed_tokens.weight");
  const auto embedding = untied.gradient("model.embed_tokens.weight");
  const auto head = untied.gradient("lm_head.weight");
  ASSERT_EQ(sum.size(), embedding.size());
  ASSERT_EQ(sum.size(), head.size());
  double largest = 0, error = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double value = static_cast<double>(embedding[i]) + head[i];
    largest = std::max(largest, std::fabs(value));
    error = std::max(error, std::fabs(sum[i] - value));
  }
  EXPECT_GT(largest, 0.1);
  EXPECT_LE(error, kTolerance * largest);
}

}  // namespace
}  // namespace ingot::appendix_a
