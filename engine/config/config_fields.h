// The one table of the run config: key, type, range and sentence of every field. Reading, checking,
// printing and docs/config.md all walk it. Internal to the config files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/config_codec.h"
#include "engine/config/config.h"

namespace ingot {

constexpr std::int64_t kMaxRunTokens = std::int64_t{1} << 60;  // of a whole run

struct ConfigSection {
  std::string name;  // "" = the keys at the top
  std::string sentence;
  std::vector<FieldOf<RunConfig>> fields;
};

// "model" is not in it: its value is a config of its own.
const std::vector<ConfigSection>& config_sections();

// What fields say together: mistakes, each with the keys ("batch.micro_batch") it is about.
struct Contradiction {
  std::string key;   // the one to change
  std::string what;  // "batch.tokens_per_step" is 1000
  std::string mend;
};
std::vector<Contradiction> contradictions(const RunConfig& config);

}  // namespace ingot
