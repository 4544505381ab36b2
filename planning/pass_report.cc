#include "planning/pass_report.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

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
  text += fmt::format("  {:<18} {:>14} {:>22}\n", "pass", "ops", "MiB at least");
  for (const auto& [pass, before, after] : passes) {
    text += fmt::format("  {:<18} {:5} -> {:5} {:9.1f} -> {:9.1f}  {}\n", pass.name, before.ops,
                        after.ops, static_cast<double>(before.least_arena_bytes) / kMiB,
                        static_cast<double>(after.least_arena_bytes) / kMiB, pass.why);
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
