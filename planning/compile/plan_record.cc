#include "planning/compile/plan_record.h"

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "planning/compile/plan_options.h"
#include "weights/manifest.h"

namespace ingot {
namespace {

[[noreturn]] void refuse(const std::string& what, const std::string& where) {
  throw Error(ErrorCode::data, "the recorded plan " + what, where);
}

// The value with this name.
template <class Values>
auto one_of(const Values& values, const std::string& name, const std::string& where) {
  for (const auto value : values) {
    if (name_of(value) == name) return value;
  }
  refuse("has an unknown choice '" + name + "'", where);
}

}  // namespace

PlanRecord record_of(const TrainingProgram& compiled) {
  return {compiled.batch,
          compiled.offload,
          compiled.state,
          compiled.head_chunk,
          {compiled.stored.begin(), compiled.stored.end()},
          compiled.packed_weights > 0,
          compiled.fetch_ahead};
}

TrainingProgram compile_recorded(const RunConfig& config, const PlanRecord& record,
                                 const ObservePass& observe) {
  const auto choose = [&record](const Program& program, std::span<const SavedActivation> saved) {
    std::vector<Storage> storage(program.tensors().size(), Storage::keep);
    std::size_t used = 0;
    for (const SavedActivation& activation : saved) {
      const auto found = record.stored.find(activation.name);
      if (found == record.stored.end()) continue;
      storage[activation.tensor] = found->second;
      ++used;
      const bool offered =
          found->second == Storage::int8 ? activation.int8_bytes > 0 : activation.recomputable;
      if (!offered) refuse("stores " + found->first + " as it can not be stored", "manifest.json");
    }
    if (used != record.stored.size()) {
      refuse("is for another model or another version of this program", "manifest.json");
    }
    return storage;
  };
  RunConfig recorded = config;
  recorded.optimizer.state = record.state;
  return compile_training(recorded, {.batch = record.micro_batch,
                                     .storage = record.stored.empty() ? ChooseStorage{} : choose,
                                     .offload = record.offload,
                                     .head_chunk = record.head_chunk,
                                     .pack_weights = record.pack_weights,
                                     .fetch_ahead = record.fetch_ahead,
                                     .observe = observe});
}

nlohmann::json to_json(const PlanRecord& record) {
  nlohmann::json stored = nlohmann::json::object();
  for (const auto& [name, storage] : record.stored) {
    stored[std::string(name_of(storage))].push_back(name);
  }
  return {{"micro_batch", record.micro_batch},
          {"offload", name_of(record.offload)},
          {"optimizer_state", name_of(record.state)},
          {"head_chunk", record.head_chunk},
          {"pack_weights", record.pack_weights},
          {"fetch_ahead", record.fetch_ahead},
          {"activations", stored}};
}

PlanRecord parse_plan_record(const nlohmann::json& json, const std::string& where) {
  try {
    PlanRecord record;
    record.micro_batch = json.at("micro_batch").get<std::int64_t>();
    if (record.micro_batch < 1) refuse("has no micro-batch", where);
    record.head_chunk = json.value("head_chunk", std::int64_t{0});  // older records lack it
    if (record.head_chunk < 0) refuse("has no head chunk", where);
    record.pack_weights = json.value("pack_weights", false);
    const auto ahead = json.value("fetch_ahead", std::int64_t{0});
    if (ahead < 0 || ahead > kMostFetchAhead) refuse("has no number of copies ahead", where);
    record.fetch_ahead = static_cast<int>(ahead);
    record.offload = one_of(kOffloadSets, json.at("offload").get<std::string>(), where);
    record.state = one_of(kOptimizerStates, json.at("optimizer_state").get<std::string>(), where);
    for (const auto& [word, names] : json.at("activations").items()) {
      if (word != "int8" && word != "recompute")
        refuse("stores activations as '" + word + "'", where);
      for (const auto& name : names) {
        record.stored[name.get<std::string>()] =
            word == "int8" ? Storage::int8 : Storage::recompute;
      }
    }
    return record;
  } catch (const nlohmann::json::exception&) {
    refuse("is malformed", where);
  }
}

RecordedPlan load_plan_record(const CheckpointReader& reader) {
  const nlohmann::json manifest = read_manifest(reader);
  const auto plan = manifest.find("plan");
  if (plan == manifest.end()) return {};
  try {
    return {.record = parse_plan_record(*plan, manifest_path(reader))};
  } catch (const Error& error) {
    return {.problem = error.problem()};
  }
}

}  // namespace ingot
