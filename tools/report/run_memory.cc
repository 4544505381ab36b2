#include "tools/report/run_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "engine/base/error.h"
#include "io/checkpoint_files.h"
#include "memory/plan.h"
#include "planning/compile/plan_record.h"
#include "tools/command.h"
#include "tools/plan/plan_drawing.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

std::string mebibytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

std::string activations_of(const PlanRecord& record) {
  std::string text;
  for (const Storage storage : {Storage::int8, Storage::recompute}) {
    const auto count = std::count_if(record.stored.begin(), record.stored.end(),
                                     [&](const auto& one) { return one.second == storage; });
    if (count == 0) continue;
    text +=
        (text.empty() ? "" : ", ") + std::to_string(count) + " " + std::string(name_of(storage));
  }
  return text.empty() ? "kept" : text;
}

void plan_again(RunMemory& memory, const CheckpointReader& checkpoint) {
  const RecordedPlan recorded = load_plan_record(checkpoint);
  if (!recorded.record) {
    memory.problem = recorded.problem.empty() ? "no plan was recorded" : recorded.problem;
    return;
  }
  const PlanRecord& record = *recorded.record;
  const RunConfig config = config_of_checkpoint(checkpoint);
  const auto backend = make_backend(Device::cpu, thread_count(config.threads));
  const TrainingProgram compiled = compile_recorded(config, record);
  const BoundProgram bound(compiled.program, *backend);
  const MemoryPlan plan = plan_memory(compiled.program, bound, compiled.schedule);
  memory.facts = {{"micro-batch", std::to_string(compiled.batch) + " × " +
                                      std::to_string(compiled.sequence) + " tokens"},
                  {"ops", std::to_string(compiled.program.ops().size())},
                  {"arena", mebibytes(plan.arena_bytes())},
                  {"lower bound", mebibytes(plan.lower_bound_bytes)},
                  {"activations", activations_of(record)},
                  {"optimizer states", std::string(name_of(record.state))},
                  {"in a file", record.offload == OffloadSet::none
                                    ? std::string("nothing")
                                    : std::string(name_of(record.offload)) + ", " +
                                          mebibytes(plan.offload_bytes())},
                  {"weights packed once a step", record.pack_weights ? "yes" : "no"}};
  memory.drawing = memory_drawing(compiled.program, bound, plan,
                                  "micro-batch " + memory.facts[0].second + ", plan of " +
                                      checkpoint.path().filename().string());
}

}  // namespace

RunMemory run_memory(const RunHistory& run) {
  RunMemory memory;
  if (run.checkpoint.empty()) {
    memory.problem = "there is no checkpoint yet";
    return memory;
  }
  try {
    plan_again(memory, CheckpointReader::open(run.checkpoint, Verify::structure));
  } catch (const Error& error) {
    memory.problem = error.what();
  }
  return memory;
}

}  // namespace ingot
