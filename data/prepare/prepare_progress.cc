#include "data/prepare/prepare_progress.h"

#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <cstdio>
#include <utility>

namespace ingot {
namespace {

constexpr int kBarWidth = 30;

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace

ProgressLine::ProgressLine(std::string what, std::uint64_t total, std::uint64_t done, bool enabled)
    : what_(std::move(what)),
      total_(std::max<std::uint64_t>(total, 1)),
      start_(done),
      enabled_(enabled),
      terminal_(::isatty(STDERR_FILENO) != 0),
      begun_(Clock::now()),
      last_(begun_) {}

ProgressLine::~ProgressLine() {
  if (printed_ && terminal_) std::fputs("\n", stderr);
}

void ProgressLine::update(std::uint64_t done) {
  if (!enabled_) return;
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  const bool last = done >= total_ && terminal_ && printed_;
  if (now - last_ < pause && !last) return;
  last_ = now;
  print(done, now);
}

void ProgressLine::print(std::uint64_t done, Clock::time_point now) {
  const double seconds = std::chrono::duration<double>(now - begun_).count();
  const double rate = double(done - std::min(start_, done)) / std::max(seconds, 1e-3);
  const double part = std::min(1.0, double(done) / double(total_));
  const std::string left =
      rate > 0 ? duration_text(double(total_ - std::min(total_, done)) / rate) : "?";
  std::string bar(kBarWidth, ' ');
  std::fill_n(bar.begin(), static_cast<int>(part * kBarWidth), '=');
  std::fprintf(stderr, "%s%s [%s] %3.0f%%  %.1f of %.1f MB  %.1f MB/s  eta %s%s",
               terminal_ ? "\r" : "", what_.c_str(), bar.c_str(), part * 100, double(done) / 1e6,
               double(total_) / 1e6, rate / 1e6, left.c_str(), terminal_ ? "\033[K" : "\n");
  std::fflush(stderr);
  printed_ = true;
}

}  // namespace ingot
