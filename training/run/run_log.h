// Where a run speaks: lines on the console, and metrics.jsonl beside its checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>

#include "training/run/event_file.h"
#include "training/run/metrics.h"

namespace ingot {

class RunLog {
 public:
  // quiet: nothing on the console.
  explicit RunLog(bool quiet) : quiet_(quiet) {}
  ~RunLog();  // says whether lines of metrics.jsonl are missing
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  // A line or several on the console, at once.
  void say(std::string_view text) const;

  // What writes the lines from here on.
  struct Writer {
    std::string_view build, backend;
    bool tensorboard = false;  // event files as well
  };
  // As MetricsLog: before the first step or validation.
  void open_metrics(const std::filesystem::path& directory, std::int64_t keep_steps,
                    const Writer& writer);
  // As MetricsLog.
  std::int64_t validated() const { return metrics_->validated(); }
  // Allocate nothing. Where the disk does not take the line of metrics.jsonl they say so once, and
  // again when it does: the run goes on.
  void step(const StepMetrics& metrics);
  void validation(std::int64_t step, double loss);

 private:
  void note(bool written);

  bool quiet_;
  std::optional<MetricsLog> metrics_;
  std::optional<EventFile> events_;
  bool metrics_behind_ = false;  // and that was said
};

}  // namespace ingot
