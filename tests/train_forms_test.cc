// Runs whose weights, moments or gradients are stored in fewer bits than fp32: they learn the same,
// resume to the bit, do not depend on threads, and take the bytes they should.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "inference/inference_model.h"
#include "io/convert.h"
#include "io/model_files.h"
#include "planning/compile/training_program.h"
#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/tiny_run.h"
#include "weights/checkpoint.h"
#include "weights/initialize.h"
#include "weights/model_transfer.h"
#include "weights/stored_state.h"

namespace ingot {
namespace {

struct Form {
  const char* name;
  std::vector<std::string> overrides;
  // How far the last validation loss may be from that of fp32 forms, relative.
  double loss = 0;
  std::vector<std::string> beside = {};  // what the run in fp32 forms is given too
};

// The tiny run's losses over seeds differ by 2 %; what is exact to fp32 rounding stays far below.
// Muon is another optimizer, that learns too.
const Form kForms[] = {
    {"bf16_moments", {"optimizer.state=bf16"}, 0.02},
    {"int8_moments", {"optimizer.state=int8"}, 0.02},
    {"bf16_weights", {"precision.master=bf16"}, 0.03},
    {"residual_weights", {"precision.master=bf16_residual"}, 0.01},
    {"int8_weights", {"precision.master=int8"}, 0.05},
    {"bf16_gradients", {"precision.gradient=bf16"}, 0.02},
    // Products of 64 rows, the fewest that are computed in int8, in two micro-steps.
    {"int8_products_bf16_gradients",
     {"precision.compute=int8", "precision.gradient=bf16", "data.sequence_length=32",
      "batch.tokens_per_step=128"},
     0.05,
     {"data.sequence_length=32", "batch.tokens_per_step=128"}},
    {"residual_gradients", {"precision.gradient=bf16_residual"}, 0.02},
    {"everything_small",
     {"optimizer.state=int8", "precision.master=bf16_residual", "precision.gradient=bf16"},
     0.03},
    {"in_backward", {"optimizer.update_in_backward=true", "batch.micro_batch=4"}, 0.03},
    // At every level of kernels below the run in fp32 forms, by up to 3.2 % (1.575 of 1.637).
    {"in_backward_small",
     {"optimizer.update_in_backward=true", "batch.micro_batch=4", "optimizer.state=int8",
      "precision.master=bf16_residual"},
     0.04},
    {"muon", {"optimizer.type=muon"}, 0.1},
    {"muon_small",
     {"optimizer.type=muon", "optimizer.state=int8", "precision.master=bf16_residual",
      "precision.gradient=bf16"},
     0.05,
     {"optimizer.type=muon"}},
    {"in_backward_int8",
     {"optimizer.update_in_backward=true", "batch.micro_batch=4", "optimizer.state=int8",
      "precision.master=int8"},
     0.05},
};

class Forms : public testing::TestWithParam<Form> {};

std::vector<std::string> with(std::vector<std::string> overrides,
                              const std::vector<std::string>& more) {
  overrides.insert(overrides.end(), more.begin(), more.end());
  return overrides;
}

TEST_P(Forms, ResumeEqualsTheUninterruptedRunForAnyThreads) {
  const TinyRun run("deepseek_v3", "bf16");
  const auto& overrides = GetParam().overrides;
  ASSERT_EQ(run.train("whole", overrides, {.threads = 2, .quiet = true}), 0);
  ASSERT_EQ(run.train("pieces", overrides, {.steps = 4, .threads = 1, .quiet = true}), 0);
  ASSERT_EQ(run.train("pieces", overrides, {.threads = 3, .quiet = true}), 0);
  const auto checkpoints = CheckpointReader::list(run.directory("whole"));
  ASSERT_FALSE(checkpoints.empty());
  for (const std::string& name : checkpoints) {
    EXPECT_TRUE(checkpoint_contents(run.directory("pieces") / name) ==
                checkpoint_contents(run.directory("whole") / name))
        << name;
  }
  EXPECT_EQ(timeless_metrics(run.directory("pieces")), timeless_metrics(run.directory("whole")));
}

TEST_P(Forms, LearnsAsFp32Does) {
  const TinyRun run("llama", "bf16");
  const std::vector<std::string> length = {
      "schedule.steps=120", "schedule.warmup_steps=5", "optimizer.learning_rate=0.01",
      "checkpoint.every=0", "log.validate_every=120",  "log.every=120"};
  ASSERT_EQ(run.train("fp32", with(length, GetParam().beside)), 0);
  ASSERT_EQ(run.train("form", with(length, GetParam().overrides)), 0);
  const double expected = metric(run.directory("fp32"), "validation_loss").back();
  const double loss = metric(run.directory("form"), "validation_loss").back();
  EXPECT_LT(expected, 3.0);  // of ln 64 = 4.16: there was something to learn
  EXPECT_NEAR(loss, expected, GetParam().loss * expected);
  RecordProperty("loss", std::to_string(loss) + " against " + std::to_string(expected));
}

// Every weight is exported as what the checkpoint's form stands for, and evaluation reads it too.
TEST_P(Forms, CheckpointsEvaluateAndExport) {
  const TinyRun run("deepseek_v3", "bf16");
  ASSERT_EQ(run.train("run", GetParam().overrides), 0);
  const auto folder = run.directory("run") / checkpoint_name(8);
  export_model(folder, run.folder() / "exported", DType::f32);
  const CheckpointReader reader = CheckpointReader::open(folder);
  const ModelFiles exported = ModelFiles::open(run.folder() / "exported");
  int compared = 0;
  for (const auto& [name, tensor] : exported.tensors()) {
    if (reader.find(name) == nullptr) continue;  // MTP's copies of embedding and head
    std::vector<float> there(rows_of(*tensor.values) * elements_per_row(*tensor.values));
    std::vector<float> here(there.size());
    read_tensor(tensor, std::span(there));
    read_rows(find_block(reader, name), {0, rows_of(*tensor.values)}, here);
    EXPECT_EQ(there, here) << name;
    ++compared;
  }
  EXPECT_GT(compared, 40);

  cpu::CpuBackend backend = tiny_backend(2);
  const auto loss_of = [&](const std::filesystem::path& path) {
    InferenceModel model(find_model(path), {.batch = 1, .sequence = 16}, backend);
    std::vector<std::int32_t> tokens(16), targets(16);
    learnable_batch(5, tokens, targets);
    return model.evaluate(tokens, targets).loss;
  };
  const double loss = loss_of(run.folder() / "exported");  // computed in fp32, not bf16
  EXPECT_NEAR(loss_of(folder), loss, 0.02 * loss);
}

INSTANTIATE_TEST_SUITE_P(Runs, Forms, testing::ValuesIn(kForms),
                         [](const auto& info) { return std::string(info.param.name); });

// A checkpoint goes on in other forms than it was saved in.
TEST(FormChange, GoesOnFromWhatWasLearned) {
  const TinyRun run("deepseek_v3", "bf16");
  const std::vector<std::string> small = {"optimizer.state=int8", "precision.master=bf16_residual"};
  const std::vector<std::string> large;
  for (const auto& [from, to] : {std::pair{large, small}, std::pair{small, large}}) {
    const std::string name = from.empty() ? "to small" : "to fp32";
    ASSERT_EQ(run.train(name + " reference", from), 0);
    ASSERT_EQ(run.train(name, from, {.steps = 5, .threads = 2, .quiet = true}), 0);
    ASSERT_EQ(run.train(name, to), 0);
    const double loss = metric(run.directory(name), "validation_loss").back();
    const double expected = metric(run.directory(name + " reference"), "validation_loss").back();
    EXPECT_NEAR(loss, expected, 0.01 * expected) << name;
  }
}

// Without clipping nothing depends on when a weight is updated: the same bits.
TEST(UpdateInBackward, WithoutClippingEqualsUpdatesAfterwards) {
  for (const char* family : kFamilies) {
    for (const char* compute : {"fp32", "bf16", "fp16"}) {
      const TinyRun run(family, compute);
      const std::vector<std::string> plain = {"batch.micro_batch=4", "optimizer.clip_norm=0"};
      ASSERT_EQ(run.train("after", plain), 0);
      ASSERT_EQ(run.train("meanwhile", with(plain, {"optimizer.update_in_backward=true"})), 0);
      auto after = checkpoint_contents(run.directory("after") / checkpoint_name(8));
      auto meanwhile = checkpoint_contents(run.directory("meanwhile") / checkpoint_name(8));
      // The norm is a sum in another order.
      after.erase("trainer");
      meanwhile.erase("trainer");
      EXPECT_TRUE(after == meanwhile) << family << " " << compute;
      const auto norms = metric(run.directory("after"), "grad_norm");
      const auto others = metric(run.directory("meanwhile"), "grad_norm");
      ASSERT_EQ(norms.size(), others.size());
      for (std::size_t i = 0; i < norms.size(); ++i) {
        EXPECT_NEAR(others[i], norms[i], 1e-6 * norms[i]);
      }
    }
  }
}

// By the norm of the step before or the weight's own, whichever is larger: the first step, which
// has none before it, is clipped as well.
TEST(UpdateInBackward, ClipsByTheLargerOfTheNormBeforeAndTheWeightsOwn) {
  const TinyRun run("llama", "fp32");
  RunConfig config = run.config(
      "run", {"batch.micro_batch=4", "optimizer.clip_norm=1e-3", "optimizer.betas=[0.9,0.95]",
              "optimizer.update_in_backward=true", "optimizer.epsilon=1"});
  cpu::CpuBackend backend = tiny_backend(2);
  TrainingEngine engine(plan_training(config, backend), backend, config);
  const Tensor scale = engine.compiled().program.find("layers.0.input_layernorm.gradient scale");
  ASSERT_TRUE(scale);
  struct Watch final : OpObserver {
    Executor& executor;
    Tensor scale;
    std::vector<float> scales;
    std::vector<float> own_norms;
    Watch(Executor& executor, Tensor scale) : executor(executor), scale(scale) {}
    void after(const Op& op) override {
      if (op.outputs.size() > 1 && op.outputs[1].id == scale.id) {
        own_norms.push_back(executor.read_scalar(op.outputs[0]));
        scales.push_back(executor.read_scalar(scale));
      }
    }
  } watch(engine.executor(), scale);
  initialize_weights(engine.executor(), 1, 1);
  engine.executor().set_observer(&watch);
  engine.settings().learning_rate = 0;
  std::vector<double> norms;
  for (int step = 0; step < 3; ++step) {
    norms.push_back(
        engine
            .step(1, [step](auto tokens, auto targets) { learnable_batch(step, tokens, targets); })
            .grad_norm);
  }
  ASSERT_EQ(watch.scales.size(), 3);
  for (int step = 0; step < 3; ++step) {
    const double own = watch.own_norms[step];
    const double norm = step == 0 ? own : std::max(norms[step - 1], own);
    ASSERT_GT(norm, 1e-3);
    EXPECT_NEAR(watch.scales[step], 1e-3 / (norm + 1e-6), 1e-6 * watch.scales[step]);
  }
  // The first step shows that the weight's own norm counts, the second that the total one does.
  ASSERT_GT(norms[0], 2 * watch.own_norms[1]);
}

// Weights, masters, moments and gradients of a model of eight billion parameters.
double bytes_per_parameter(MasterType master, OptimizerState state, GradientType gradient,
                           bool in_backward) {
  RunConfig config;
  config.model = load_model_config("configs/models/r1_distill_llama_8b.json", ErrorCode::data);
  config.data.sequence_length = 128;
  config.batch.tokens_per_step = 128;
  config.precision.master = master;
  config.precision.gradient = gradient;
  config.optimizer.state = state;
  config.optimizer.update_in_backward = in_backward;
  const TrainingProgram compiled = compile_training(config, {.batch = 1});
  double bytes = 0;
  for (const TensorInfo& tensor : compiled.program.tensors()) {
    if (tensor.lifetime == Lifetime::persistent && tensor.role != Role::input) {
      bytes += static_cast<double>(tensor.bytes());
    }
  }
  return bytes / static_cast<double>(count_parameters(config.model).total);
}

TEST(BytesPerParameter, AreThoseOfTheForms) {
  using enum MasterType;
  using State = OptimizerState;
  using Gradient = GradientType;
  EXPECT_NEAR(bytes_per_parameter(fp32, State::fp32, Gradient::fp32, false), 18, 0.01);
  EXPECT_NEAR(bytes_per_parameter(fp32, State::bf16, Gradient::fp32, false), 14, 0.01);
  EXPECT_NEAR(bytes_per_parameter(fp32, State::fp32, Gradient::bf16_residual, false), 17, 0.01);
  // The goals.
  EXPECT_LE(bytes_per_parameter(bf16_residual, State::int8, Gradient::bf16, false), 7.1);
  EXPECT_LE(bytes_per_parameter(bf16_residual, State::int8, Gradient::fp32, true), 5.1);
  EXPECT_LE(bytes_per_parameter(bf16, State::int8, Gradient::fp32, true), 4.1);
  EXPECT_LE(bytes_per_parameter(int8, State::int8, Gradient::fp32, true), 3.1);
}

}  // namespace
}  // namespace ingot
