#include "ops/report/report.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace ingot {

const OpKind kReport{.name = "report", .stateful = true};
const OpKind kCombineReports{
    .name = "combine_reports", .stateful = true, .beside = QueueKind::group};

void report(Program& program, std::span<const ReportItem> items) {
  if (items.empty()) return;
  std::vector<Tensor> values;
  Attributes slots;
  for (const ReportItem& item : items) {
    if (program.dtype(item.value) != DType::f32 || item.value.columns != 1 ||
        program.rows(item.value) != 1) {
      throw std::logic_error("report: " + program.info(item.value).name + " is not one f32");
    }
    slots.set("slot" + std::to_string(values.size()), program.report_slot(item.slot, item.rule));
    values.push_back(item.value);
  }
  const Tensor report = program.report();
  program.append(kReport, std::move(values), {report}, std::move(slots));
}

void combine_reports(Program& program, Queue queue) {
  const Tensor report = program.report();
  program.append(kCombineReports, {report}, {report}).queue = queue;
}

}  // namespace ingot
