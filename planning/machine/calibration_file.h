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
  // Whether what there is to read was written as disturbed, or doubted since.
  bool doubtful() const;
  // Whether to measure once more although there is something to read: it is doubtful. Not for
  // ever: what comes out the same several times is this machine's speed.
  bool wants_another() const;
  // disturbed: other work had a part of the machine meanwhile. A folder that can't be written only
  // means that the next process measures again.
  void write(const nlohmann::json& measured, bool disturbed = false) const;
  // What is kept was contradicted. Whether it will be measured once more.
  bool doubt() const;

 private:
  nlohmann::json read_whole() const;
  void write_whole(const nlohmann::json& file) const;

  std::string measured_for_;
  std::filesystem::path path_;
};

}  // namespace ingot
