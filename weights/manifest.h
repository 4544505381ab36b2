// manifest.json of a checkpoint: who writes it, and what everyone may ask of it. What it holds:
//   format, files            of io/checkpoint_files.h
//   config, seed             the run config, resolved
//   build, kernels           the program that wrote it, and its level of instructions
//   mesh                     {"ranks": N} that wrote it
//   state_forms              version of the 8-bit codes (weights/stored_state.h)
//   sections of others       "trainer", "plan", by who knows what they mean
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/config/config.h"
#include "io/checkpoint_files.h"

namespace ingot {

// The text to commit: the config and what stands beside it, then each of `sections`' members.
std::string manifest_text(const RunConfig& config, const nlohmann::json& sections);

// Throw Error(data) when it is malformed, or has no config.
nlohmann::json read_manifest(const CheckpointReader& reader);
RunConfig config_of_checkpoint(const CheckpointReader& reader);

// Where it lies, for messages.
std::string manifest_path(const CheckpointReader& reader);

}  // namespace ingot
