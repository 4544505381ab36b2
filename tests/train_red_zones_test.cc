// Whole steps of every family in a packed arena where an op can touch its own operands and nothing
// else: dead tensors and what lies between are closed by the hardware (tests/red_zones.h).
#include <gtest/gtest.h>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "planning/planner.h"
#include "tests/forwarding_backend.h"
#include "tests/learnable_batch.h"
#include "tests/red_zones.h"
#include "tests/tiny_run.h"
#include "weights/initialize.h"

namespace ingot {
namespace {

enum class Layout { planned, red_zones };

struct Outcome {
  std::vector<double> numbers;
  std::string stray;  // the first op that wrote beside its operands
  bool operator==(const Outcome&) const = default;
};

// Two steps and an evaluation; every number that comes out.
Outcome outcome_of(const RunConfig& config, Backend& backend, Layout layout) {
  PlannedTraining plan = plan_training(config, backend);
  if (layout == Layout::red_zones) {
    add_red_zones(plan.compiled->program, *plan.bound, plan.memory.placement);
  }
  const std::vector<std::int64_t> offsets = plan.memory.placement.offsets;
  TrainingEngine engine(std::move(plan), backend, config);
  std::optional<OperandsOnly> watch;
  if (layout == Layout::red_zones) {
    engine.executor().set_observer(&watch.emplace(engine.executor(), offsets));
  }
  initialize_weights(engine.executor(), 1, 1);
  engine.settings().learning_rate = 1e-2;
  engine.settings().mtp_weight = 0.3;
  engine.settings().balance_weight = 0.01;
  engine.settings().bias_update_rate = 0.001;
  std::uint64_t seed = 0;
  const auto next = [&seed](std::span<std::int32_t> tokens, std::span<std::int32_t> targets) {
    learnable_batch(++seed, tokens, targets);
  };
  Outcome outcome;
  for (int step = 0; step < 2; ++step) {
    const StepReport report = engine.step(2, next);
    outcome.numbers.insert(outcome.numbers.end(), {report.loss, report.mtp_loss, report.grad_norm});
  }
  std::vector<std::int32_t> tokens(engine.tokens_per_micro_step()), targets(tokens.size());
  next(tokens, targets);
  outcome.numbers.push_back(engine.evaluate(tokens, targets).loss);
  if (watch) outcome.stray = watch->stray();
  return outcome;
}

class RedZonesOf : public testing::TestWithParam<const char*> {
 protected:
  static void expect_untouched(const TinyRun& run, const std::vector<std::string>& settings) {
    SCOPED_TRACE(settings.front());
    const RunConfig config = run.config("run", settings);
    cpu::CpuBackend backend = tiny_backend(2);
    EXPECT_EQ(outcome_of(config, backend, Layout::red_zones),
              outcome_of(config, backend, Layout::planned));
  }
};

TEST_P(RedZonesOf, AreNeverTouchedNorIsAnythingButAnOpsOwnOperands) {
  for (const char* compute : {"fp32", "bf16", "fp16"}) {
    SCOPED_TRACE(compute);
    const TinyRun run(GetParam(), compute);
    for (const char* activations : {"keep", "int8", "recompute"}) {
      expect_untouched(run, {std::string("memory.activations=") + activations});
    }
  }
}

TEST_P(RedZonesOf, NorByCompressedStatesAndWeights) {
  const TinyRun run(GetParam(), "bf16");
  expect_untouched(
      run, {"optimizer.state=int8", "precision.master=bf16_residual", "precision.gradient=bf16"});
  expect_untouched(run, {"precision.compute=int8", "precision.master=int8"});
  expect_untouched(run, {"optimizer.type=muon", "memory.activations=compact"});
}

INSTANTIATE_TEST_SUITE_P(Families, RedZonesOf, testing::ValuesIn(kFamilies),
                         [](const auto& info) { return std::string(info.param); });

// What the kernels of one kind do besides their work.
struct Mischief {
  std::string_view kind;
  enum { nothing, write_behind, read_dead } what = nothing;
};

class StrayBackend final : public ForwardingBackend {
 public:
  explicit StrayBackend(const Mischief& mischief) : ForwardingBackend(1), mischief_(mischief) {}

  std::unique_ptr<Kernel> make_kernel(const Program& program, const Op& op) override {
    std::shared_ptr<Kernel> inner = ForwardingBackend::make_kernel(program, op);
    const std::string_view kind = op.kind->name;
    const std::int64_t bytes = op.outputs.empty() ? 0 : program.info(op.outputs.front()).bytes();
    return cpu::make_kernel(inner->workspace_bytes(),
                            [=, this](const KernelArguments& arguments, const Turn& turn) {
                              inner->run(arguments, turn);
                              if (kind == "rms_norm") activation_ = arguments.output<std::byte>(0);
                              if (kind == mischief_.kind)
                                misbehave(arguments.output<std::byte>(0) + bytes);
                            });
  }

 private:
  void misbehave(volatile std::byte* end_of_output) const {
    if (mischief_.what == Mischief::write_behind) *end_of_output = std::byte{1};
    if (mischief_.what == Mischief::read_dead) (void)*activation_;
  }

  Mischief mischief_;
  volatile std::byte* activation_ = nullptr;  // what the last norm wrote
};

Outcome outcome_with(const Mischief& mischief, Layout layout = Layout::red_zones) {
  StrayBackend backend(mischief);
  return outcome_of(TinyRun("llama", "bf16").config("run"), backend, layout);
}

// What is closed can't be touched unseen: the sanitizer names the access, the hardware kills.
void expect_death(const Mischief& mischief, const std::string& access) {
  if (kAddressSanitizer) {
    EXPECT_DEATH(outcome_with(mischief), "use-after-poison.*" + access + ".*StrayBackend");
  } else {
    EXPECT_EXIT(outcome_with(mischief), testing::KilledBySignal(SIGSEGV), "");
  }
}

TEST(RedZones, AByteWrittenBehindATensorThatEndsWithItsPageIsDeadly) {
  EXPECT_EQ(outcome_with({"rms_norm", Mischief::nothing}).stray, "");
  expect_death({"rms_norm", Mischief::write_behind}, "WRITE of size 1");
}

TEST(RedZones, AByteWrittenBehindAnyOtherTensorIsFoundAndTheOpNamed) {
  const Mischief mischief{"decide", Mischief::write_behind};
  if (kAddressSanitizer) return expect_death(mischief, "WRITE of size 1");
  const std::string stray = outcome_with(mischief).stray;
  EXPECT_NE(stray.find("decide"), std::string::npos) << stray;
}

TEST(RedZones, AReadOfADeadTensorIsDeadly) {
  const Outcome unseen = outcome_with({"adamw", Mischief::read_dead}, Layout::planned);
  EXPECT_EQ(unseen, outcome_with({"adamw", Mischief::nothing}));
  expect_death({"adamw", Mischief::read_dead}, "READ of size 1");
}

}  // namespace
}  // namespace ingot
