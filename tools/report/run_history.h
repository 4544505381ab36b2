// What a run's folder tells of it: metrics.jsonl, and the manifest of its newest checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ingot {

struct Point {
  double step = 0, value = 0;  // NaN or infinity where the run had such a number
};

struct RunHistory {
  std::filesystem::path folder;
  std::string name;                                  // of the folder
  std::map<std::string, std::vector<Point>> curves;  // by field of metrics.jsonl, steps rising
  std::vector<std::string> builds;                   // one for each program that wrote a part of it
  nlohmann::json config;                             // resolved; null: there is no checkpoint
  std::filesystem::path checkpoint;                  // the newest one; empty: there is none

  // Empty where the run did not log the field.
  const std::vector<Point>& curve(const std::string& field) const;
};

// Throws Error(data): no metrics.jsonl, a line that is none of a run's, no line at all. A torn last
// line, of a run that is at work, is passed over.
RunHistory read_run_history(const std::filesystem::path& folder);

}  // namespace ingot
