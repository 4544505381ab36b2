#include "training/steps/trainer_state.h"

#include <nlohmann/json.hpp>

#include "engine/base/error.h"
#include "weights/manifest.h"

namespace ingot {

nlohmann::json to_json(const TrainerState& state) {
  return {{"step", state.step},
          {"updates", state.updates},
          {"tokens", state.tokens},
          {"data", {{"epoch", state.data.epoch}, {"sample", state.data.sample}}},
          {"loss_scale", state.loss_scale.scale},
          {"loss_scale_good_steps", state.loss_scale.good_steps},
          {"recent_losses", state.recent_losses},
          {"recent_norms", state.recent_norms},
          {"previous_norm", static_cast<float>(state.previous_norm)},
          {"skipped",
           {{"spikes", state.skips.spikes},
            {"nonfinite", state.skips.nonfinite},
            {"spikes_in_a_row", state.skips.spikes_in_a_row},
            {"nonfinite_in_a_row", state.skips.nonfinite_in_a_row}}}};
}

std::optional<TrainerState> load_trainer_state(const CheckpointReader& reader) {
  const nlohmann::json manifest = read_manifest(reader);
  const auto section = manifest.find("trainer");
  if (section == manifest.end()) return std::nullopt;
  try {
    const nlohmann::json& from = *section;
    const nlohmann::json skipped = from.value("skipped", nlohmann::json::object());
    return TrainerState{
        .step = from.at("step").get<std::int64_t>(),
        .updates = from.at("updates").get<std::int64_t>(),
        .tokens = from.at("tokens").get<std::int64_t>(),
        .data = {.epoch = from.at("data").at("epoch").get<std::int64_t>(),
                 .sample = from.at("data").at("sample").get<std::int64_t>()},
        .loss_scale = {.scale = from.at("loss_scale").get<double>(),
                       .good_steps = from.at("loss_scale_good_steps").get<std::int64_t>()},
        .recent_losses = from.at("recent_losses").get<std::vector<double>>(),
        .recent_norms = from.at("recent_norms").get<std::vector<double>>(),
        .previous_norm = from.value("previous_norm", 0.0),
        .skips = {.spikes = skipped.value("spikes", std::int64_t{0}),
                  .nonfinite = skipped.value("nonfinite", std::int64_t{0}),
                  .spikes_in_a_row = skipped.value("spikes_in_a_row", std::int64_t{0}),
                  .nonfinite_in_a_row = skipped.value("nonfinite_in_a_row", std::int64_t{0})}};
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::data, "the trainer's state is missing or malformed",
                manifest_path(reader), "use another checkpoint");
  }
}

}  // namespace ingot
