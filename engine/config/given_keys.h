// Which keys of a run's model were given, by whom reads the run config.
#pragma once

#include <filesystem>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace ingot {

using GivenKeys = std::set<std::string, std::less<>>;

// Keys of "model" (or of the config.json it names) that are given; all others have the defaults of
// the family. Throws as load_run_config().
GivenKeys given_model_keys(const std::filesystem::path& path,
                           const std::vector<std::string>& overrides = {});

}  // namespace ingot
