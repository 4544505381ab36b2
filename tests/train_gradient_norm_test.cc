// The norm of the gradients, most of whose squares are summed by the ops that write them: it is
// that of the gradients as they are stored, whatever wrote them and in how many micro-steps.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "ops/gradient_norm/gradient_norm.h"
#include "planning/planner.h"
#include "tests/learnable_batch.h"
#include "tests/tiny_run.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

constexpr int kSteps = 2;

struct Outcome {
  std::vector<double> norms, expected;   // by step
  std::int64_t gradients = 0, sums = 0;  // operands of the norm
};

// The squares of a gradient as it is stored, in double.
double squares_of(const Executor& executor, Tensor gradient) {
  const TensorInfo& info = executor.program().info(gradient);
  std::vector<std::byte> bytes(info.bytes());
  executor.read(gradient, bytes);
  double squares = 0;
  for (std::int64_t i = 0; i < info.shape.elements(); ++i) {
    float value = 0;
    if (info.dtype == DType::f32) {
      std::memcpy(&value, bytes.data() + 4 * i, 4);
    } else {
      std::uint16_t bits = 0;
      std::memcpy(&bits, bytes.data() + 2 * i, 2);
      value = bf16_to_float(bits);
    }
    squares += double{value} * value;
  }
  return squares;
}

Outcome outcome_of(const RunConfig& config, int threads) {
  cpu::CpuBackend backend = tiny_backend(threads);
  TrainingEngine engine(plan_training(config, backend), backend, config);
  initialize_weights(engine.executor(), 1, 1);
  engine.settings().learning_rate = 1e-2;
  engine.settings().mtp_weight = 0.3;
  const Executor& executor = engine.executor();
  Outcome outcome;
  for (const Op& op : executor.program().ops()) {
    if (op.kind != &kSquareSums) continue;
    outcome.sums = op.attributes.integer("sums");
    outcome.gradients = std::ssize(op.inputs) - outcome.sums;
  }
  std::vector<std::int32_t> tokens(engine.tokens_per_micro_step()), targets(tokens.size());
  const std::int64_t micro_steps = engine.micro_steps_per_update();
  for (int step = 0; step < kSteps; ++step) {
    engine.begin_step(micro_steps);
    for (std::int64_t micro = 0; micro < micro_steps; ++micro) {
      learnable_batch(10 * step + micro, tokens, targets);
      engine.micro_step(tokens, targets);
    }
    double squares = 0;
    for (const Weight& weight : executor.program().weights()) {
      if (weight.gradient) squares += squares_of(executor, weight.gradient.values);
    }
    outcome.expected.push_back(std::sqrt(squares) / engine.settings().loss_scale);
    outcome.norms.push_back(engine.finish_step().grad_norm);
  }
  return outcome;
}

struct Case {
  const char* name;
  std::vector<std::string> settings;
};

class GradientNorm : public testing::TestWithParam<Case> {};

// Sums of up to 1536 squares are rounded some 100 times, independently of each other, and so are
// those of the tensors that the norm reads itself (256 squares): 2^-24 of them each time.
TEST_P(GradientNorm, IsThatOfTheStoredGradientsForAnyNumberOfThreads) {
  for (const char* family : {"llama", "deepseek_v3"}) {
    const TinyRun run(family);
    for (const char* micro_batch : {"batch.micro_batch=1", "batch.micro_batch=4"}) {
      std::vector<std::string> settings = GetParam().settings;
      settings.emplace_back(micro_batch);
      const RunConfig config = run.config("run", settings);
      const Outcome one = outcome_of(config, 1);
      EXPECT_GT(one.sums, one.gradients / 4) << "hardly any op leaves sums";
      for (int step = 0; step < kSteps; ++step) {
        EXPECT_GT(one.expected[step], 0);
        EXPECT_NEAR(one.norms[step], one.expected[step], 100 * 0x1p-24 * one.expected[step])
            << family << " " << micro_batch << " step " << step;
      }
      for (const int threads : {2, 3}) EXPECT_EQ(outcome_of(config, threads).norms, one.norms);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Forms, GradientNorm,
    testing::Values(
        Case{"Fp32", {}}, Case{"Bf16", {"precision.compute=bf16"}},
        Case{"Fp16", {"precision.compute=fp16"}}, Case{"Int8", {"precision.compute=int8"}},
        Case{"Bf16Sums", {"precision.compute=bf16", "precision.gradient=bf16"}},
        Case{"Bf16ResidualSums", {"precision.compute=bf16", "precision.gradient=bf16_residual"}},
        Case{"Muon", {"optimizer.type=muon"}},
        Case{"Everything8Bit",
             {"precision.compute=int8", "memory.activations=int8", "optimizer.state=int8",
              "precision.master=bf16_residual", "precision.gradient=bf16"}}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace ingot
