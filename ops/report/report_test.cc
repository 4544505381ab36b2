#include "ops/report/report.h"

#include <gtest/gtest.h>

#include "ops/report/report_cpu.h"
#include "ops/testing/op_check.h"

namespace ingot {
namespace {

double slot_of(const OpCheck& check, OpCheck& same, std::string_view name) {
  return check.value(same.program().report())[same.program().find_report_slot(name)];
}

TEST(Report, ItemsAreCombinedInTheirOrderAndThenOverTheTurns) {
  OpCheck check(DType::f32, cpu::report_cpu_kernels());
  const Tensor loss = check.constants("loss", {2}, {3, 5});
  const Tensor load = check.constants("load", {1}, {7});
  const Tensor other = check.constants("other load", {1}, {2});
  const ReportItem items[] = {{"loss", loss.slice(0, 1)},
                              {"loss", loss.slice(1, 1)},
                              {"load", load, ReportRule::most},
                              {"load", other, ReportRule::most}};
  report(check.program(), items);
  check.run();
  EXPECT_EQ(slot_of(check, check, "loss"), 8);
  EXPECT_EQ(slot_of(check, check, "load"), 7);
  check.run_again();  // a later turn of the same update
  EXPECT_EQ(slot_of(check, check, "loss"), 16);
  EXPECT_EQ(slot_of(check, check, "load"), 7);
}

TEST(Report, TakesSingleFloatsOnly) {
  OpCheck check(DType::f32, cpu::report_cpu_kernels());
  const ReportItem two{"loss", check.constants("loss", {2}, {3, 5})};
  EXPECT_THROW(report(check.program(), {&two, 1}), std::logic_error);
}

}  // namespace
}  // namespace ingot
