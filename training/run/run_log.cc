#include "training/run/run_log.h"

#include <cmath>
#include <cstdio>

namespace ingot {
namespace {

// A console that takes no more does not make a run fail: what counts is in its files.
void flush_console() {
  std::fflush(stdout);
  std::clearerr(stdout);
}

}  // namespace

void RunLog::say(std::string_view text) const {
  if (quiet_) return;
  std::fprintf(stdout, "%.*s\n", static_cast<int>(text.size()), text.data());
  flush_console();
}

void RunLog::open_metrics(const std::filesystem::path& directory, std::int64_t keep_steps) {
  metrics_.emplace(directory, keep_steps);
}

void RunLog::step(const StepMetrics& metrics) {
  metrics_->step(metrics);
  if (quiet_) return;
  char line[256];
  format_console_line(line, sizeof line, metrics);
  std::puts(line);  // not say(): tests/bench/count_allocations.cc takes a puts() for a step
  flush_console();
}

void RunLog::validation(std::int64_t step, double loss) {
  metrics_->validation(step, loss);
  char line[128];
  std::snprintf(line, sizeof line, "step %lld | validation loss %.4f | perplexity %.2f",
                static_cast<long long>(step), loss, std::exp(loss));
  say(line);
}

}  // namespace ingot
