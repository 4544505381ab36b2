// A plan as a checkpoint's manifest records it: what it takes to compile the same program again,
// on any machine, so that a resumed run computes the same bits (spec/memory.md G7).
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "io/checkpoint_files.h"
#include "planning/compile/training_program.h"

namespace ingot {

struct PlanRecord {
  std::int64_t micro_batch = 0;
  OffloadSet offload = OffloadSet::none;
  OptimizerState state = OptimizerState::fp32;
  std::int64_t head_chunk = 0;            // tokens; 0: as the head's rule has it
  std::map<std::string, Storage> stored;  // activations that are not kept as they are, by name
  // These change no bits, only time and memory.
  bool pack_weights = false;  // once a step
  int fetch_ahead = 0;        // copies of offloaded tensors that start before their use

  bool operator==(const PlanRecord&) const = default;
};

PlanRecord record_of(const TrainingProgram& compiled);

// The program of this record. Throws Error(data) when the record names what is not there: it is
// another version's, and the run must be planned anew.
TrainingProgram compile_recorded(const RunConfig& config, const PlanRecord& record,
                                 const ObservePass& observe = {});

nlohmann::json to_json(const PlanRecord& record);
// Throws Error(data) naming `where` when it is malformed.
PlanRecord parse_plan_record(const nlohmann::json& json, const std::string& where);

// The plan of the run that saved a checkpoint: the manifest's section "plan".
struct RecordedPlan {
  std::optional<PlanRecord> record;  // none: none was recorded, or it can't be read
  std::string problem;               // why it can't be read
};
RecordedPlan load_plan_record(const CheckpointReader& reader);

}  // namespace ingot
