// Puts single numbers into the report, where the host reads all of them at once after a step
// (Program::report), instead of waiting for the device at each.
#pragma once

#include <span>
#include <string_view>

#include "engine/program/program.h"

namespace ingot {

struct ReportItem {
  std::string_view slot;
  Tensor value;  // a view of one f32
  ReportRule rule = ReportRule::sum;
};

// Items of one slot are combined in their order, in double; then the slot is set in the first turn
// of an update, and in later ones combined with what it holds, by the slot's rule.
void report(Program& program, std::span<const ReportItem> items);

// The report as all ranks of the queue's group have made it, on all of them: slots combined by
// their rules, in the order of the ranks. What every rank then has alike is reported behind it.
void combine_reports(Program& program, Queue queue);

//   report            inputs values...  outputs report (read and written)  attributes slot0, ...
//   combine_reports   inputs report     outputs report
extern const OpKind kReport, kCombineReports;

}  // namespace ingot
