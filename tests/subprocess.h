// Runs the real `ingot` as its users do, for tests of exit codes, messages, signals and limits.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ingot {

struct ProcessOptions {
  std::string program = "tools/ingot";
  std::optional<std::uint64_t> largest_file = {};   // bytes; a write beyond fails (RLIMIT_FSIZE)
  std::optional<std::uint64_t> private_bytes = {};  // memory of its own at most (RLIMIT_DATA)
  std::vector<std::string> environment = {};        // NAME=VALUE, beside ours
  std::function<void(pid_t)> while_running;         // called once after the start
};

struct ProcessResult {
  int exit_code = -1;  // -1: a signal ended it
  int signal = 0;
  std::string out, err;
  std::int64_t peak_bytes = 0;  // resident at most
};

// arguments: without the program's name. The test's `data` has //tools:ingot, or options name
// another place.
ProcessResult run_ingot(const std::vector<std::string>& arguments,
                        const ProcessOptions& options = {});

// That a call failed as all failures must: this exit code, nothing on stdout that looks like a
// result, and on stderr one line "ingot: error: ..." with every part in it.
void expect_failure(const ProcessResult& result, int exit_code,
                    const std::vector<std::string>& parts);

}  // namespace ingot
