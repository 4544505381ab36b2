#include "training/run/run_log.h"

#include <fmt/format.h>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <string>

#include "io/file_descriptor.h"

namespace ingot {
namespace {

// A console that takes no more does not make a run fail: what counts is in its files.
void flush_console() {
  std::fflush(stdout);
  std::clearerr(stdout);
}

}  // namespace

RunLog::~RunLog() {
  if (!metrics_behind_) return;
  note(metrics_->catch_up());
  if (metrics_behind_) say("warning: the last lines of metrics.jsonl are missing");
}

void RunLog::say(std::string_view text) const {
  if (quiet_) return;
  std::fprintf(stdout, "%.*s\n", static_cast<int>(text.size()), text.data());
  flush_console();
}

void RunLog::open_metrics(const std::filesystem::path& directory, std::int64_t keep_steps) {
  metrics_.emplace(directory, keep_steps);
}

void RunLog::note(bool written) {
  if (written != metrics_behind_) return;
  metrics_behind_ = !written;
  const AppendFile& file = metrics_->file();
  if (!written) {
    say("warning: cannot write " + file.path().string() + ": " + describe_errno(file.error()) +
        "; the run goes on, and lines wait in memory");
  } else if (file.lost_lines() > 0) {
    say("warning: metrics.jsonl is written again, " + std::to_string(file.lost_lines()) +
        " lines are missing");
  } else {
    say("metrics.jsonl is written again, no line is missing");
  }
}

void RunLog::step(const StepMetrics& metrics) {
  note(metrics_->step(metrics));
  if (quiet_) return;
  char line[256];
  format_console_line(line, sizeof line, metrics);
  std::puts(line);  // not say(): tests/bench/count_allocations.cc takes a puts() for a step
  flush_console();
}

void RunLog::validation(std::int64_t step, double loss) {
  note(metrics_->validation(step, loss));
  fmt::memory_buffer line;  // on the stack: a validation allocates nothing
  fmt::format_to(std::back_inserter(line), "step {} | validation loss {:.4f} | perplexity {:.2f}",
                 step, loss, std::exp(loss));
  say({line.data(), line.size()});
}

}  // namespace ingot
