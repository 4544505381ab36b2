#include "weights/manifest.h"

#include <nlohmann/json.hpp>

#include "backends/cpu/isa.h"
#include "engine/base/build_text.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "weights/stored_state.h"

namespace ingot {

std::string manifest_text(const RunConfig& config, const nlohmann::json& sections) {
  nlohmann::json manifest = {
      {"config", to_json(config)}, {"build", build_text()},  {"kernels", cpu::isa_name(cpu::isa())},
      {"seed", config.seed},       {"mesh", {{"ranks", 1}}}, {"state_forms", kStateFormsVersion}};
  manifest.update(sections);
  return manifest.dump();
}

nlohmann::json read_manifest(const CheckpointReader& reader) {
  return parse_json(reader.manifest_text(), manifest_path(reader), ErrorCode::data);
}

RunConfig config_of_checkpoint(const CheckpointReader& reader) {
  const nlohmann::json manifest = read_manifest(reader);
  const auto config = manifest.find("config");
  if (config == manifest.end()) {
    throw Error(ErrorCode::data, "the manifest has no config", manifest_path(reader),
                "use another checkpoint");
  }
  return parse_recorded_config(config->dump(), manifest_path(reader), reader.path());
}

std::string manifest_path(const CheckpointReader& reader) {
  return (reader.path() / "manifest.json").string();
}

}  // namespace ingot
