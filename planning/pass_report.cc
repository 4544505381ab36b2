#include "planning/pass_report.h"

#include <nlohmann/json.hpp>

#include "engine/base/append_format.h"
#include "memory/plan.h"

namespace ingot {

std::vector<MeasuredPass> measure_passes(const RunConfig& config, const PlanRecord& record,
                                         Backend& backend) {
  std::vector<MeasuredPass> passes;
  ProgramSize before;
  compile_recorded(config, record, [&](const TrainingPass& pass, const Program& program) {
    const ProgramSize after{program.ops().size(),
                            least_arena_bytes(program, BoundProgram(program, backend))};
    passes.push_back({pass, before, after});
    before = after;
  });
  return passes;
}

std::string pass_report(const std::vector<MeasuredPass>& passes) {
  constexpr double kMiB = 1 << 20;
  std::string text;
  append_format(text, "  %-18s %14s %22s\n", "pass", "ops", "MiB at least");
  for (const auto& [pass, before, after] : passes) {
    append_format(text, "  %-18s %5zu -> %5zu %9.1f -> %9.1f  %s\n", std::string(pass.name).c_str(),
                  before.ops, after.ops, static_cast<double>(before.least_arena_bytes) / kMiB,
                  static_cast<double>(after.least_arena_bytes) / kMiB,
                  std::string(pass.why).c_str());
  }
  text.pop_back();
  return text;
}

nlohmann::json to_json(const std::vector<MeasuredPass>& passes) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& [pass, before, after] : passes) {
    list.push_back({{"name", pass.name},
                    {"why", pass.why},
                    {"ops", {{"before", before.ops}, {"after", after.ops}}},
                    {"lower_bound_bytes",
                     {{"before", before.least_arena_bytes}, {"after", after.least_arena_bytes}}}});
  }
  return list;
}

}  // namespace ingot
