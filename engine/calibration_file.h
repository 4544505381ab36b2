// What was measured on this machine, kept for later processes beside the user's other caches:
// $XDG_CACHE_HOME or ~/.cache, ingot/NAME-*.json.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ingot {

class CalibrationFile {
 public:
  // One file for each name and text `measured_for`: what the measurement holds for.
  CalibrationFile(const std::string& name, std::string measured_for);

  const std::filesystem::path& path() const { return path_; }
  // Null when it is missing, damaged or measured for something else.
  nlohmann::json read() const;
  // A folder that can't be written only means that the next process measures again.
  void write(const nlohmann::json& measured) const;

 private:
  std::string measured_for_;
  std::filesystem::path path_;
};

// A text that another build of this program does not have.
std::string this_build();

}  // namespace ingot
