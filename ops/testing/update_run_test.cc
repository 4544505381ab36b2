#include "ops/testing/update_run.h"

#include <gtest/gtest.h>

#include "ops/adamw/adamw.h"
#include "ops/adamw/adamw_cpu.h"
#include "ops/testing/hidden_backend.h"

namespace ingot {
namespace {

TEST(UpdateRun, GivesTheSameBitsOnABackendWhoseMemoryTheHostCannotTouch) {
  const UpdateForms forms{.weight = StateForm::bf16_residual,
                          .first = StateForm::dynamic8,
                          .second = StateForm::log8,
                          .gradient = DType::bf16};
  const auto append = [](Program& program, const Weight& weight, Tensor scale, Tensor skipped) {
    adamw(program, weight, scale, skipped, {});
  };
  const Shape shape{5, 150};
  const auto bytes_after = [&](UpdateRun& run) {
    run.set_weight(normals(5 * 150, 0.02, 1));
    run.state().learning_rate = 1e-3;
    run.step(normals(5 * 150, 1, 2));
    EXPECT_EQ(run.weight().size(), 5u * 150);
    return run.bytes();
  };
  HiddenBackend hidden(cpu::adamw_cpu_kernels());
  UpdateRun there(forms, shape, {}, append, hidden);
  UpdateRun here(forms, shape, {}, append, cpu::adamw_cpu_kernels(), 1);
  EXPECT_TRUE(bytes_after(there) == bytes_after(here));
}

}  // namespace
}  // namespace ingot
