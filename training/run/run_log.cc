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

// Under the names that group curves of one kind.
EventMessage event_of(const StepMetrics& m) {
  EventMessage message = EventFile::message(m.step);
  const auto add = [&](std::string_view tag, double value) {
    message.scalar(tag, static_cast<float>(value));
  };
  constexpr double kMiB = 1 << 20;
  add("loss/training", m.loss);
  add("optimizer/grad_norm", m.grad_norm);
  add("optimizer/learning_rate", m.learning_rate);
  add("speed/tokens_per_second", m.tokens_per_second);
  add("speed/step_seconds", m.step_seconds);
  add("speed/mfu", m.mfu);
  add("memory/peak_rss_mib", static_cast<double>(m.peak_rss_bytes) / kMiB);
  add("optimizer/loss_scale", m.loss_scale);
  if (m.expert_load_max_over_mean >= 0) {
    add("experts/load_max_over_mean", m.expert_load_max_over_mean);
    add("loss/balance", m.auxiliary_loss);
  }
  if (m.mtp_loss >= 0) add("loss/mtp", m.mtp_loss);
  return message;
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

void RunLog::open_metrics(const std::filesystem::path& directory, std::int64_t keep_steps,
                          const Writer& writer) {
  metrics_.emplace(directory, keep_steps);
  note(metrics_->start(keep_steps, writer.build, writer.backend));
  if (writer.tensorboard) events_.emplace(directory, keep_steps);
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
  if (events_) events_->write(event_of(metrics));
  if (quiet_) return;
  char line[256];
  format_console_line(line, sizeof line, metrics);
  std::puts(line);  // not say(): tests/bench/count_allocations.cc takes a puts() for a step
  flush_console();
}

void RunLog::validation(std::int64_t step, double loss) {
  note(metrics_->validation(step, loss));
  if (events_) {
    EventMessage message = EventFile::message(step);
    message.scalar("loss/validation", static_cast<float>(loss));
    events_->write(message);
  }
  fmt::memory_buffer line;  // on the stack: a validation allocates nothing
  fmt::format_to(std::back_inserter(line), "step {} | validation loss {:.4f} | perplexity {:.2f}",
                 step, loss, std::exp(loss));
  say({line.data(), line.size()});
}

}  // namespace ingot
