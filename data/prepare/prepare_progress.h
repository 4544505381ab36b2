// How far a long run over bytes of text is, on stderr: one line that renews itself on a terminal,
// else a line now and then.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ingot {

class ProgressLine {
 public:
  // done: bytes that an earlier run did. When not enabled nothing is ever printed.
  ProgressLine(std::string what, std::uint64_t total, std::uint64_t done, bool enabled);
  // Ends the line of a terminal.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;

  // Cheap: looks at the clock, prints a few times a second (terminal) or every ten (else).
  void update(std::uint64_t done);

 private:
  using Clock = std::chrono::steady_clock;
  void print(std::uint64_t done, Clock::time_point now);

  std::string what_;
  std::uint64_t total_, start_;
  bool enabled_, terminal_, printed_ = false;
  Clock::time_point begun_, last_;
};

}  // namespace ingot
