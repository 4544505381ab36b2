// What watches over dead memory bites: a program of three ops, the last of which misbehaves, under
// both observers (tests/poison.h, tests/red_zones.h).
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include "backends/cpu/cpu_backend.h"
#include "engine/execution/executor.h"
#include "memory/plan.h"
#include "tests/poison.h"
#include "tests/red_zones.h"

namespace ingot {
namespace {

constexpr OpKind kFirst{.name = "first"}, kSecond{.name = "second"}, kThird{.name = "third"};
constexpr std::int64_t kBytes = 4096, kOddBytes = 61;

enum class Mischief { none, read_dead, write_behind } mischief;
const std::byte* dead = nullptr;  // what the first op wrote: nobody's when the third runs

// Its own function, for its name in the sanitizer's report.
[[gnu::noinline]] int misbehave(std::byte* output) {
  int sum = 0;
  if (mischief == Mischief::read_dead) {
    for (std::int64_t i = 0; i < kBytes; ++i) sum += std::to_integer<int>(dead[i]);
  }
  if (mischief == Mischief::write_behind) output[kOddBytes] = std::byte{7};
  return sum;
}

std::unique_ptr<Kernel> fill_output(const Program& program, const Op& op, const cpu::Context&) {
  const auto bytes = static_cast<std::size_t>(program.info(op.outputs.front()).bytes());
  const bool first = op.kind == &kFirst, third = op.kind == &kThird;
  return cpu::make_kernel(0, [=](const KernelArguments& arguments, const Turn&) {
    std::byte* const output = arguments.output<std::byte>(0);
    std::memset(output, 1, bytes);
    if (first) dead = output;
    if (third && misbehave(output) == 0xFF * kBytes) output[0] = std::byte{0xFF};
  });
}

enum class Watch { poison, operands_only };

// Runs the program and returns the first byte of what the third op wrote.
struct Outcome {
  std::byte byte;
  std::string stray;
};
Outcome run(Watch watch, Mischief what) {
  mischief = what;
  Program program;
  const auto tensor = [&](const char* name, std::int64_t bytes, Lifetime lifetime) {
    return program.add_tensor(
        {.name = name, .shape = {bytes}, .dtype = DType::u8, .lifetime = lifetime});
  };
  const Tensor x = tensor("x", kBytes, Lifetime::transient);
  const Tensor y = tensor("y", kBytes, Lifetime::transient);
  const Tensor z = tensor("z", kOddBytes, Lifetime::parts);
  program.append(kFirst, {}, {x});
  program.append(kSecond, {x}, {y});
  program.append(kThird, {y}, {z});
  constexpr cpu::KernelEntry kKernels[] = {
      {"first", fill_output}, {"second", fill_output}, {"third", fill_output}};
  cpu::CpuBackend backend(1, kKernels);
  BoundProgram bound(program, backend);
  Placement placement = plan_memory(program, bound).placement;
  if (watch == Watch::operands_only) add_red_zones(program, bound, placement);
  Executor executor(program, std::move(bound), placement, backend);
  Poison poison(executor);
  OperandsOnly operands_only(executor, placement.offsets);
  executor.set_observer(watch == Watch::poison ? static_cast<OpObserver*>(&poison)
                                               : &operands_only);
  executor.run(Part::micro_step, {});
  return {*executor.host(z), operands_only.stray()};
}

TEST(DeadMemory, AnHonestProgramIsLeftInPeace) {
  for (const Watch watch : {Watch::poison, Watch::operands_only}) {
    const Outcome outcome = run(watch, Mischief::none);
    EXPECT_EQ(outcome.byte, std::byte{1});
    EXPECT_EQ(outcome.stray, "");
  }
}

TEST(DeadMemory, AReadOfADeadTensorIsDeadlyWhereOnlyOperandsAreOpen) {
  if (kAddressSanitizer) {
    EXPECT_DEATH(run(Watch::operands_only, Mischief::read_dead),
                 "use-after-poison.*READ of size.*misbehave");
  } else {
    EXPECT_EXIT(run(Watch::operands_only, Mischief::read_dead), testing::KilledBySignal(SIGSEGV),
                "");
  }
}

TEST(DeadMemory, AReadOfADeadTensorFindsPoison) {
  if (kAddressSanitizer) {
    EXPECT_DEATH(run(Watch::poison, Mischief::read_dead),
                 "use-after-poison.*READ of size.*misbehave");
  } else {
    EXPECT_EQ(run(Watch::poison, Mischief::read_dead).byte, std::byte{0xFF});
  }
}

TEST(DeadMemory, AByteWrittenBehindATensorOfOddLengthIsFound) {
  if (kAddressSanitizer) {
    EXPECT_DEATH(run(Watch::operands_only, Mischief::write_behind),
                 "use-after-poison.*WRITE of size 1.*misbehave");
  } else {
    const std::string stray = run(Watch::operands_only, Mischief::write_behind).stray;
    EXPECT_NE(stray.find("third"), std::string::npos) << stray;
  }
}

}  // namespace
}  // namespace ingot
