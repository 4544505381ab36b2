// Where a run speaks: lines on the console, and metrics.jsonl beside its checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "training/run/metrics.h"

namespace ingot {

class RunLog {
 public:
  // quiet: nothing on the console.
  explicit RunLog(bool quiet) : quiet_(quiet) {}

  // A line or several on the console, at once.
  void say(std::string_view text) const;

  // As MetricsLog: before the first step or validation.
  void open_metrics(const std::filesystem::path& directory, std::int64_t keep_steps);
  // Allocate nothing.
  void step(const StepMetrics& metrics);
  void validation(std::int64_t step, double loss);

 private:
  bool quiet_;
  std::optional<MetricsLog> metrics_;
};

}  // namespace ingot
