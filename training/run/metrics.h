// What a run tells while it goes: one JSON line per logged step in metrics.jsonl, one aligned line
// on the console. Formatting uses fixed buffers: logging a step allocates nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "io/append_file.h"

namespace ingot {

// Fields of a metrics.jsonl line (docs/design.md, section 5). Negative: not applicable, left out.
struct StepMetrics {
  std::int64_t step = 0;
  std::int64_t steps = 0;  // of the whole run
  double loss = 0;
  double loss_z = 0;  // standard deviations from the recent mean
  double grad_norm = 0;
  double learning_rate = 0;
  std::int64_t tokens = 0;  // seen since the run began
  double tokens_per_second = 0;
  double step_seconds = 0;
  double mfu = 0;  // share of this machine's measured matmul peak
  std::int64_t arena_bytes = 0, peak_rss_bytes = 0, budget_bytes = 0;
  double loss_scale = 1;
  double expert_load_max_over_mean = -1;
  double auxiliary_loss = -1;
  double mtp_loss = -1;
  double remaining_seconds = 0;
  const char* mark = "";  // what else happened in this step, e.g. "skipped", "saved"
};

class MetricsLog {
 public:
  // Appends to directory/metrics.jsonl. Lines of steps after `keep_steps` are dropped first: a run
  // that resumes from an older checkpoint writes them again. Throws Error(device).
  MetricsLog(const std::filesystem::path& directory, std::int64_t keep_steps);

  // Whether this line and all before it are in the file: what a full disk refuses comes later, or
  // is counted as lost. A log does not end a run.
  bool step(const StepMetrics& metrics);
  bool validation(std::int64_t step, double loss);
  // {"step", "build", "backend"}: from this step on this build computes. First of all lines.
  bool start(std::int64_t step, std::string_view build, std::string_view backend);
  // Tries again to write what waits.
  bool catch_up() { return file_.append(""); }

  const AppendFile& file() const { return file_; }
  // The step of the last validation that was there at the start, or -1.
  std::int64_t validated() const { return validated_; }

 private:
  std::int64_t validated_;
  AppendFile file_;
};

// "step 1200/20000 6.0% | loss 2.8431 (-0.3z) | norm 0.412 | lr 2.9e-4 | 812 ms | 40.3k tok/s |
// ..." without a line break, at most `size` bytes with the final zero. Returns its length.
int format_console_line(char* line, std::size_t size, const StepMetrics& metrics);

}  // namespace ingot
