#include "ops/testing/op_check.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backends/cpu/join_kernels.h"
#include "ops/add/add_cpu.h"
#include "ops/rms_norm/rms_norm.h"
#include "ops/rms_norm/rms_norm_cpu.h"
#include "ops/testing/hidden_backend.h"

namespace ingot {
namespace {

// y = x / sqrt(mean of x^2), times gain: as tests of ops declare it.
void check_rms_norm(OpCheck& check) {
  const Tensor x = check.leaf("x", {3, 65}), gain = check.weight("gain", {65});
  check.output(rms_norm(check.program(), x, gain, {.epsilon = 1e-12}));
  check.run();
  check.expect_matches(
      [](const Leaves& leaves) {
        std::vector<double> y = leaves[0];
        for (std::size_t row = 0; row < 3; ++row) {
          double squares = 0;
          for (std::size_t i = 0; i < 65; ++i) squares += y[row * 65 + i] * y[row * 65 + i];
          for (std::size_t i = 0; i < 65; ++i) {
            y[row * 65 + i] *= leaves[1][i] / std::sqrt(squares / 65);
          }
        }
        return y;
      },
      {.value = 1e-6, .gradient = 1e-5});  // a handful of fp32 roundings, sums of 65
}

TEST(OpCheck, RunsOnAnyBackendAndLeavesItsMemoryAlone) {
  const auto kernels = cpu::join_kernels({cpu::rms_norm_cpu_kernels(), cpu::add_cpu_kernels()});
  HiddenBackend hidden(kernels);
  OpCheck there(DType::f32, hidden);
  check_rms_norm(there);
  OpCheck here(DType::f32, cpu::rms_norm_cpu_kernels());
  check_rms_norm(here);
  EXPECT_EQ(there.gradient("gain"), here.gradient("gain"));
}

// So that the test above can fail.
TEST(OpCheckDeathTest, MemoryOfAHiddenBackendIsClosedToTheHost) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  HiddenBackend hidden({});
  const auto memory = hidden.allocate(Place::arena, 8);
  const float one = 1;
  hidden.write({memory.get(), 0, 4}, std::as_bytes(std::span(&one, 1)));
  float back = 0;
  hidden.read(std::as_writable_bytes(std::span(&back, 1)), {memory.get(), 0, 4});
  EXPECT_EQ(back, 1);
  EXPECT_DEATH(*memory->address() = std::byte{1}, "");
}

}  // namespace
}  // namespace ingot
